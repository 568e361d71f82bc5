"""What a machine's definition says of whether it can be saved and started again."""

import re

import pytest

from reconciler.formats import libvirtxml

# virt-install's machine on Debian 12, as virsh dumpxml has it while it runs; without the addresses.
GOOD = """<domain type='kvm' id='7'>
  <name>deb</name><uuid>11111111-1111-1111-1111-111111111111</uuid>
  <metadata><l:os xmlns:l="http://libosinfo.org/xmlns/libvirt/domain/1.0"/></metadata>
  <memory unit='KiB'>2097152</memory><currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu placement='static'>2</vcpu><resource><partition>/machine</partition></resource>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <pm><suspend-to-mem enabled='no'/></pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap' iothread='1'/>
      <source file='/srv/vm/over.qcow2' index='2'/>
      <backingStore type='file' index='3'>
        <format type='qcow2'/><source file='/srv/vm/base.qcow2'/><backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu'/><target dev='sda' bus='sata'/><readonly/>
    </disk>
    <controller type='usb' index='0' model='qemu-xhci'/>
    <controller type='virtio-serial' index='0'/>
    <interface type='network'>
      <mac address='52:54:00:00:00:01'/><source network='default' bridge='virbr0'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'><source path='/dev/pts/1'/><target type='isa-serial' port='0'/></serial>
    <console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/></console>
    <channel type='unix'>
      <source mode='bind' path='/run/libvirt/qemu/channel/7-deb/org.qemu.guest_agent.0'/>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
    <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
    <input type='tablet' bus='usb'/>
    <graphics type='spice' port='5900' autoport='yes' listen='127.0.0.1'>
      <listen type='address' address='127.0.0.1'/><image compression='off'/>
    </graphics>
    <sound model='ich9'/><audio id='1' type='spice'/>
    <video><model type='qxl' ram='65536' vram='65536' vgamem='16384' heads='1'/></video>
    <watchdog model='itco' action='reset'/><memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <redirdev bus='usb' type='spicevmc'><alias name='redir0'/></redirdev>
    <redirdev bus='usb' type='spicevmc'><alias name='redir1'/></redirdev>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/><alias name='tpm0'/></tpm>
  </devices>
  <seclabel type='dynamic' model='dac' relabel='yes'/>
</domain>"""


def test_a_machine_of_every_day():
    found = libvirtxml.parsed(GOOD)
    assert found.problems == ()
    assert found.name == "deb"
    assert found.files == ("/srv/vm/over.qcow2", "/srv/vm/base.qcow2")
    assert found.disks == ("vda", "sda")
    assert found.networks == ("default",)
    assert found.volumes == ()
    assert found.viewers == libvirtxml.Viewers(ports=(5900,), sockets=(), has_tpm=True)
    assert found.memory == (2 << 30) + (65536 + 65536 + 16384) * 1024


OTHERS = {
    "memory of a memfd": (
        "<vcpu",
        "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking><vcpu",
    ),
    "huge pages": ("<vcpu", "<memoryBacking><hugepages/></memoryBacking><vcpu"),
    "a memory module": ("<memballoon", "<memory model='dimm'/><memballoon"),
    "a smart card": ("<memballoon", "<smartcard mode='passthrough' type='spicevmc'/><memballoon"),
    "GNOME Boxes' folder": ("<channel type='spicevmc'>", "<channel type='spiceport'>"),
    "a disk of the host": (
        "<disk type='file' device='disk'",
        "<disk type='block' device='disk'",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_else_a_machine_may_have(what):
    old, new = OTHERS[what]
    assert GOOD.count(old), what
    assert libvirtxml.parsed(GOOD.replace(old, new, 1)).problems == ()


def test_a_volume_and_a_device():
    text = GOOD.replace("<disk type='file' device='disk'", "<disk type='volume' device='disk'", 1)
    text = text.replace("<source file='/srv/vm/over.qcow2'", "<source pool='p' volume='v w'", 1)
    found = libvirtxml.parsed(text)
    assert found.volumes == (("p", "v w"),)
    assert found.files == ("/srv/vm/base.qcow2",)
    assert found.problems == ()
    text = GOOD.replace("<source file='/srv/vm/over.qcow2'", "<source dev='/dev/sdb'", 1)
    assert libvirtxml.parsed(text).files == ("/dev/sdb", "/srv/vm/base.qcow2")


def test_where_viewers_connect():
    text = GOOD.replace("type='address' address='127.0.0.1'", "type='socket' socket='/run/s'")
    found = libvirtxml.parsed(text.replace("<tpm ", "<hub ").replace("</tpm>", "</hub>"))
    assert found.viewers == libvirtxml.Viewers((5900,), ("/run/s",), has_tpm=False)
    assert libvirtxml.parsed(GOOD.replace("redirdev", "hub")).viewers is None


WORSE = {
    "a device of the host": ("<memballoon", "<hostdev mode='subsystem' type='pci'/><memballoon"),
    "a directory that it shares": ("<memballoon", "<filesystem type='mount'/><memballoon"),
    "memory that it shares": ("<memballoon", "<shmem name='x'/><memballoon"),
    "redirdev of the type tcp": ("<redirdev bus='usb' type='spicevmc'", "<redirdev type='tcp'"),
    "a vsock device": ("<memballoon", "<vsock model='virtio'/><memballoon"),
    "its TPM is the host's own": ("type='emulator'", "type='passthrough'"),
    "encrypted, or another": (
        "version='2.0'/>",
        "version='2.0'><encryption secret='s'/></backend>",
    ),
    "memory module of a sort": ("<memballoon", "<memory model='nvdimm'/><memballoon"),
    "smartcard of the type ?": ("<memballoon", "<smartcard mode='host'/><memballoon"),
    "a lease of a lock manager": ("<memballoon", "<lease/><memballoon"),
    "not known here: nvram": ("<memballoon", "<nvram/><memballoon"),
    "never tried: <locked>": ("<vcpu", "<memoryBacking><locked/></memoryBacking><vcpu"),
    "<launchSecurity>": ("<vcpu", "<launchSecurity type='sev'/><vcpu"),
    "<commandline>": ("<vcpu", "<q:commandline xmlns:q='qemu'/><vcpu"),
    "the type xen": ("<domain type='kvm'", "<domain type='xen'"),
    "features that cannot be saved": ("migratable='on'", "migratable='off'"),
    "invtsc": (
        " check='none' migratable='on'/>",
        "><feature policy='require' name='invtsc'/></cpu>",
    ),
    "controller of the type xenbus": ("type='virtio-serial'", "type='xenbus'"),
    "interface of the type hostdev": ("<interface type='network'", "<interface type='hostdev'"),
    "interface of the type vhostuser": ("<interface type='network'", "<interface type='vhostuser'"),
    "network device": ("<model type='virtio'/>", "<teaming type='persistent'/>"),
    "input of the type passthrough": ("type='tablet'", "type='passthrough'"),
    "serial port writes to a file": (
        "<serial type='pty'><source path='/dev/pts/1'/>",
        "<serial type='file'><source path='/x'/>",
    ),
    "connected to another program": ("mode='bind'", "mode='connect'"),
    "channel of the type tcp": ("<channel type='unix'>", "<channel type='tcp'>"),
    "graphics of the type sdl": ("<graphics type='spice'", "<graphics type='sdl'"),
    "the host's graphics card": ("<image compression='off'/>", "<gl enable='yes'/>"),
    "screen is of a sort": (
        "heads='1'/>",
        "heads='1'><acceleration accel3d='yes'/></model>",
    ),
    "from another program": ("<backend model='random'>", "<backend model='egd'>"),
    "the type network": ("<disk type='file' device='disk'", "<disk type='network' device='disk'"),
    "is of a sort": ("device='disk'", "device='lun'"),
    "a job of its disk vda": ("<backingStore type", "<mirror type='file'/><backingStore type"),
    "shared with other machines": ("<backingStore type", "<shareable/><backingStore type"),
    "<encryption>": ("<backingStore type", "<encryption/><backingStore type"),
    "<transient>": ("<backingStore type", "<transient/><backingStore type"),
    "format vmdk": ("type='qcow2' cache", "type='vmdk' cache"),
    "cache=unsafe": ("cache='none'", "cache='unsafe'"),
    "backing file that is not known": ("<backingStore type='file'", "<backingStore type='network'"),
    "a file of a sort": ("index='2'/>", "index='2'><reservations/></source>"),
    "a file without a path": ("file='/srv/vm/over.qcow2'", "file='over.qcow2'"),
}


@pytest.mark.parametrize("problem", WORSE)
def test_what_cannot_be_judged(problem):
    old, new = WORSE[problem]
    assert GOOD.count(old), problem
    text = GOOD.replace(old, new, 1)
    found = libvirtxml.parsed(text).problems
    assert any(problem in each for each in found), found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<pool/>",
        "<domain/>",
        "<domain><memory unit='pages'>1</memory></domain>",
        "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain><memory>1</memory></domain>",
    ],
)
def test_no_definition(text):
    with pytest.raises(ValueError, match=re.compile(".")):
        libvirtxml.parsed(text)
