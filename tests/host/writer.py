"""A guest of 512 bytes that writes numbered blocks, and tells of each once it is on the disk.

Its boot sector runs without a system. Block N (512 bytes of N) goes to sector 2048 + N % 16384 of
the first IDE disk by WRITE SECTORS; FLUSH CACHE, which is fdatasync(2) to QEMU, comes next; then
the serial port gets N, in the letters a to p, and a line feed. "B" is said once, at each boot. So
who reads the port knows whether the guest was rebooted, and which blocks were acknowledged.
"""

import base64

SECTORS, FIRST = 16384, 2048

# as --32; ld -Ttext=0x7c00 --oformat binary; source below.
BOOT = (
    bytes.fromhex(
        "ea057c0000fafc31c08ed88ec08ed0bc007cbaf603b002eeb042e89a00b00ae895006631db6643bf0080b9800066"
        "89d866f3ab6689d96681e1ff3f00006681c100080000e85d00baf601b0e0eebaf201b001ee4288c8ee4288e8ee42"
        "6689c866c1e810eebaf701b030eeeca80874fbbe0080b90001baf001f36fe82700baf701b0e7eee81e006689d8b9"
        "080066c1c0046650240f0461e81e006658e2efb00ae81500eb81baf701eca88075fba8217406b045e80200f4c352"
        "50bafd03eca82074fb58baf803ee5ac3"
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)
SOURCE = """
    .code16
    ljmp $0, $1f
1:  cli; cld; xorw %ax, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %ss; movw $0x7c00, %sp
    movw $0x3f6, %dx; movb $2, %al; outb %al, %dx           # no interrupts of the disk
    movb $'B', %al; call put; movb $'\\n', %al; call put
    xorl %ebx, %ebx
next: incl %ebx
    movw $0x8000, %di; movw $128, %cx; movl %ebx, %eax; rep stosl
    movl %ebx, %ecx; andl $0x3fff, %ecx; addl $2048, %ecx; call idle
    movw $0x1f6, %dx; movb $0xe0, %al; outb %al, %dx
    movw $0x1f2, %dx; movb $1, %al; outb %al, %dx           # one sector, its number
    incw %dx; movb %cl, %al; outb %al, %dx; incw %dx; movb %ch, %al; outb %al, %dx
    incw %dx; movl %ecx, %eax; shrl $16, %eax; outb %al, %dx
    movw $0x1f7, %dx; movb $0x30, %al; outb %al, %dx        # WRITE SECTORS
2:  inb %dx, %al; testb $8, %al; jz 2b
    movw $0x8000, %si; movw $256, %cx; movw $0x1f0, %dx; rep outsw; call idle
    movw $0x1f7, %dx; movb $0xe7, %al; outb %al, %dx; call idle  # FLUSH CACHE
    movl %ebx, %eax; movw $8, %cx
3:  roll $4, %eax; pushl %eax; andb $15, %al; addb $'a', %al; call put; popl %eax; loop 3b
    movb $'\\n', %al; call put; jmp next
idle: movw $0x1f7, %dx
4:  inb %dx, %al; testb $0x80, %al; jnz 4b
    testb $0x21, %al; jz 5f; movb $'E', %al; call put; hlt  # an error of the disk
5:  ret
put: pushw %dx; pushw %ax; movw $0x3fd, %dx
6:  inb %dx, %al; testb $0x20, %al; jz 6b
    popw %ax; movw $0x3f8, %dx; outb %al, %dx; popw %dx; ret
"""

# The same by the BIOS (int 13h, EXTENDED WRITE), for a disk on any bus. It does not ask virtio for
# a cache, so QEMU has each block on the disk before it says so (virtio_blk_set_status).
BIOS = (
    bytes.fromhex(
        "ea057c0000fafc31c08ed88ec08ed0bc007c8816207efbb042e87600b00ae8710066c706007e1000010066c70604"
        "7e008000006631c066a30c7e66a3247e66ff06247ebf0080b9800066a1247e66f3ab6625ff3f0000660500080000"
        "66a3087ebe007e8a16207eb80043cd13721e668b1e247eb9080066c1c30488d8240f0461e80f00e2f1b00ae80800"
        "ebb2b045e80100f45250bafd03eca82074fb58baf803ee5ac3"
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)
BIOS_SOURCE = """
    .code16
    ljmp $0, $1f
1:  cli; cld; xorw %ax, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %ss; movw $0x7c00, %sp
    movb %dl, 0x7e20; sti
    movb $'B', %al; call put; movb $'\\n', %al; call put
    movl $0x10010, 0x7e00; movl $0x8000, 0x7e04             # one sector, from 0:8000
    xorl %eax, %eax; movl %eax, 0x7e0c; movl %eax, 0x7e24
next: incl 0x7e24
    movw $0x8000, %di; movw $128, %cx; movl 0x7e24, %eax; rep stosl
    andl $0x3fff, %eax; addl $2048, %eax; movl %eax, 0x7e08
    movw $0x7e00, %si; movb 0x7e20, %dl; movw $0x4300, %ax; int $0x13; jc bad   # EXTENDED WRITE
    movl 0x7e24, %ebx; movw $8, %cx
3:  roll $4, %ebx; movb %bl, %al; andb $15, %al; addb $'a', %al; call put; loop 3b
    movb $'\\n', %al; call put; jmp next
bad: movb $'E', %al; call put; hlt
put: pushw %dx; pushw %ax; movw $0x3fd, %dx
6:  inb %dx, %al; testb $0x20, %al; jz 6b
    popw %ax; movw $0x3f8, %dx; outb %al, %dx; popw %dx; ret
"""

DOMAIN = """<domain type='qemu'><name>{name}</name><memory>16384</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='{format}' cache='{cache}'/>
<source file='{disk}'/><target dev='hda' bus='ide'/></disk>{more}
<serial type='file'><source path='/var/log/{name}.log' append='on'/></serial>
</devices></domain>"""

# As virt-install and virt-manager write it for Debian or Windows 11 when nothing is changed
# (virt-install --print-xml), without what needs KVM; the disk's format and the port are ours.
EVERYDAY = """<domain type='qemu'><name>{name}</name>
<metadata><libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
<libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo></metadata>
<memory unit='MiB'>64</memory><currentMemory unit='MiB'>64</currentMemory>{memory}<vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
<features><acpi/><apic/><vmport state='off'/></features>
<clock offset='utc'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/>
<timer name='hpet' present='no'/></clock>
<pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>
<devices>
<disk type='{type}' device='disk'><driver name='qemu' type='qcow2' discard='unmap'{driver}/>
<source {source}/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
<controller type='usb' model='qemu-xhci' ports='15'/><controller type='pci' model='pcie-root'/>
<interface type='network'><source network='default'/><model type='virtio'/></interface>
<serial type='file'><source path='/var/log/{name}.log' append='on'/></serial>
<channel type='unix'><source mode='bind'/>
<target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
<input type='tablet' bus='usb'/>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
<graphics type='spice' autoport='yes'><listen type='address'/><image compression='off'/></graphics>
<sound model='ich9'/><video><model type='{video}'/></video>
<redirdev bus='usb' type='spicevmc'/><redirdev bus='usb' type='spicevmc'/>{more}
<watchdog model='i6300esb' action='reset'/><memballoon model='virtio'/>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
</devices></domain>"""

# Where no dnsmasq is: the network that a machine is attached to.
NETWORK = """<network><name>default</name><bridge name='virbr0' stp='off'/><dns enable='no'/>
<ip address='192.168.122.1' netmask='255.255.255.0'/></network>"""

# Has libvirt hand one end of a socket to a machine's screen, as virt-manager does, and holds it.
VIEW = """
import ctypes, signal, sys
libvirt = ctypes.CDLL("libvirt.so.0")
libvirt.virConnectOpen.restype = libvirt.virDomainLookupByName.restype = ctypes.c_void_p
connection = ctypes.c_void_p(libvirt.virConnectOpen(b"qemu:///system"))
domain = ctypes.c_void_p(libvirt.virDomainLookupByName(connection, sys.argv[1].encode()))
fd = libvirt.virDomainOpenGraphicsFD(domain, 0, 0)
assert fd >= 0
print("connected", flush=True)
sys.stdin.read()
"""

# Says what was acknowledged, and exits with 1 where it was rebooted or one of the blocks is lost.
CHECK = f"""
import subprocess, sys
name, path, kind = sys.argv[1:]
with open(f"/var/log/{{name}}.log") as file:
    boot, *lines = [line for line in file.read().split("\\n")[:-1] if line != ""]
told = [sum((ord(c) - 97) << 4 * (7 - n) for n, c in enumerate(line)) for line in lines]
assert boot == "B" and told == list(range(1, len(told) + 1)), "it was rebooted, or failed"
copy = ["qemu-img", "convert", "-U", "-f", kind, "-O", "raw", path, "/root/whole"]
subprocess.run(copy, check=True)
with open("/root/whole", "rb") as file:
    for number in range(max(1, told[-1] - {SECTORS} + 2), told[-1] + 1):
        file.seek(({FIRST} + number % {SECTORS}) * 512)
        found = int.from_bytes(file.read(4), "little")
        assert found in {{number, number + {SECTORS}}}, f"{{number}} is lost, {{found}} is there"
print(told[-1])
"""


def make(path: str, kind: str = "raw", boots: bytes = BOOT) -> str:
    """Return a line of shell that makes a disk of 64 MiB which boots, with 20 MiB of data."""
    boot = base64.b64encode(boots).decode()
    raw = path if kind == "raw" else "/root/new.raw"
    line = f"rm -f {raw}; truncate -s 64M {raw}; echo {boot} | base64 -d | "
    line += f"dd of={raw} conv=notrunc status=none; "
    line += f"dd if=/dev/urandom of={raw} bs=1M seek=20 count=20 conv=notrunc status=none"
    return line if kind == "raw" else f"{line}; qemu-img convert -O {kind} {raw} {path}"
