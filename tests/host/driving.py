"""vmtune with a machine to save, ended or stopped behind one of its effects."""

# vmtune in its own process, which gets SIGKILL behind the effect of that number, or the signal that
# stands there too ("3:STOP"); or a line of shell is run once an event holds a word.
DRIVE = """
import json, os, signal, subprocess, sys
where, what, *words = sys.argv[1:]
number, _, name = where.partition(":")
if number.isdigit():
    from reconciler.cli import run
    from reconciler.linux import libvirt, saved_machines
    from reconciler.resources.images import worklist
    count = 0
    def ended(real):
        def done(*given, **named):
            global count
            found = real(*given, **named)
            count += 1
            if count == int(number):
                os.kill(os.getpid(), signal.Signals["SIG" + (name or "KILL")])
            return found
        return done
    its = libvirt.Libvirt
    for room, effect in ((saved_machines, "note"), (its, "save"), (worklist, "put"),
                         (its, "_end_save"), (its, "start"), (saved_machines, "forget")):
        setattr(room, effect, ended(getattr(room, effect)))
    sys.exit(run(words))
child = subprocess.Popen(["/usr/local/bin/vmtune", *words], stdout=subprocess.PIPE, text=True)
is_seen = False
for line in child.stdout:
    print(line, end="")
    if where in line and not is_seen:
        is_seen = True
        subprocess.run(["sh", "-c", what], env={**os.environ, "PID": str(child.pid)})
code = child.wait()
sys.exit(code if code >= 0 else 128 - code)
"""
