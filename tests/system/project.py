# SPDX-License-Identifier: Apache-2.0
"""A small C project that tests build inside a guest, and its initramfs.

32 modules of 20 functions each, a header that a program of the project makes
first, a makefile, and a main program that calls them all and prints a number.
What the number has to be is computed here too, in Python.
"""
import pathlib
import re
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MASK = (1 << 64) - 1
MODULES = 32
FUNCTIONS = 20
TABLE = 64
LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
HEADERS = ("stdint.h", "stdio.h", "stdlib.h", "string.h")


class Unavailable(Exception):
    """What the host lacks, in one line."""


def constant(module, function, which):
    """A number that looks random, always the same."""
    x = (module * FUNCTIONS + function + 1) * 4 + which
    x = x * 0x9e3779b97f4a7c15 & MASK
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9 & MASK
    return x ^ x >> 32


def table():
    values, x = [], 88172645463325252
    for _ in range(TABLE):
        x ^= x << 13 & MASK
        x ^= x >> 7
        x ^= x << 17 & MASK
        values.append(x)
    return values


GENERATOR = """\
#include <stdint.h>
#include <stdio.h>

int main(void)
{
	uint64_t x = 88172645463325252u;

	printf("#include <stdint.h>\\nstatic const uint64_t table[%d] = {\\n");
	for (int i = 0; i < %d; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		printf("\\t%%lluu,\\n", (unsigned long long)x);
	}
	printf("};\\n");
	return 0;
}
""" % (TABLE, TABLE)

FUNCTION = """
static uint64_t f{f}(uint64_t x)
{{
	struct pair p = {{ x, {a}u }};

	for (unsigned int i = 0; i < {rounds}; i++) {{
		switch (p.x & 3) {{
		case 0:
			p.x = p.x * p.y + table[i & {mask}];
			break;
		case 1:
			p.x ^= p.x >> {shift};
			p.y += {b}u;
			break;
		case 2:
			p.x = (p.x << {turn}) | (p.x >> (64 - {turn}));
			p.x++;
			break;
		default:
			p.x = p.x / ({c}u | 1) + p.y;
		}}
	}}
	return p.x ^ p.y;
}}
"""


def numbers(m, f):
    """What the template takes."""
    c = [constant(m, f, which) for which in range(4)]
    return {"f": f, "a": c[0] | 1, "b": c[1], "c": c[2] >> 40,
            "rounds": 5 + c[3] % 20, "shift": 1 + (c[3] >> 8) % 60,
            "turn": 1 + (c[3] >> 16) % 60, "mask": TABLE - 1}


def module_text(m):
    functions = range(FUNCTIONS)
    return (f"#include \"modules.h\"\n#include \"table.h\"\n"
            f"#include <stdio.h>\n#include <string.h>\n\n"
            f"struct pair {{\n\tuint64_t x, y;\n}};\n"
            + "".join(FUNCTION.format(**numbers(m, f)) for f in functions)
            + f"\nuint64_t module{m}(uint64_t x)\n{{\n"
            "\tstatic uint64_t (*const all[])(uint64_t) = {\n\t\t"
            + ", ".join(f"f{f}" for f in functions)
            + "\n\t};\n\tchar text[32];\n\n"
            "\tfor (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); "
            "i++)\n\t\tx = all[i](x);\n"
            "\tsnprintf(text, sizeof(text), \"%llu\", "
            "(unsigned long long)x);\n"
            "\treturn x + strlen(text);\n}\n")


def expected():
    """What the program prints."""
    values, x = table(), 1
    for m in range(MODULES):
        for f in range(FUNCTIONS):
            n = numbers(m, f)
            y = n["a"]
            for i in range(n["rounds"]):
                way = x & 3
                if way == 0:
                    x = x * y + values[i & n["mask"]] & MASK
                elif way == 1:
                    x ^= x >> n["shift"]
                    y = y + n["b"] & MASK
                elif way == 2:
                    x = (x << n["turn"] | x >> 64 - n["turn"]) & MASK
                    x = x + 1 & MASK
                else:
                    x = x // (n["c"] | 1) + y & MASK
            x ^= y
        x = x + len(str(x)) & MASK
    return x


MAIN = ("#include \"modules.h\"\n#include <stdio.h>\n\nint main(void)\n{\n"
        "\tuint64_t x = 1;\n\n"
        + "".join(f"\tx = module{m}(x);\n" for m in range(MODULES))
        + "\tprintf(\"%llu\\n\", (unsigned long long)x);\n\treturn 0;\n}\n")

MAKEFILE = """\
CC = tcc
OBJECTS = main.o {objects}

program: $(OBJECTS)
	$(CC) -o $@ $(OBJECTS)

%.o: %.c modules.h table.h
	$(CC) -c -o $@ $<

table.h: generator
	./generator > table.h.new
	mv table.h.new table.h

generator: generator.c
	$(CC) -o $@ generator.c

clean:
	rm -f *.o program generator table.h
"""


def write_project(folder):
    """The project's files."""
    folder.mkdir(parents=True)
    (folder / "generator.c").write_text(GENERATOR)
    (folder / "main.c").write_text(MAIN)
    (folder / "modules.h").write_text(
        "#include <stdint.h>\n\n" + "".join(
            f"uint64_t module{m}(uint64_t x);\n" for m in range(MODULES)))
    for m in range(MODULES):
        (folder / f"module{m}.c").write_text(module_text(m))
    (folder / "Makefile").write_text(MAKEFILE.format(
        objects=" ".join(f"module{m}.o" for m in range(MODULES))))


def needed_headers():
    """The system's headers behind HEADERS."""
    text = "".join(f"#include <{name}>\n" for name in HEADERS)
    words = subprocess.run(["gcc", "-M", "-xc", "-"], input=text, text=True,
                           capture_output=True, check=True).stdout.split()
    return [word for word in words if word.startswith("/usr/include/")]


def needed_libraries(programs):
    """Where the loader finds what they are linked with, and itself."""
    found = set()
    for program in programs:
        text = subprocess.run(["ldd", program], text=True, check=True,
                              capture_output=True).stdout
        found |= set(re.findall(r"(/\S+) \(0x", text))
    return found


def copy(source, root):
    target = root / str(source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


INIT = """\
#!/bin/busybox sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
cd /project
for n in $(seq {times}); do
	make -s clean
	make -s -j4 && echo "RESULT $n $(./program) \\
$(sha256sum program | cut -c1-64)" || echo "FAILED $n"
done
echo "LOAD $(nproc) $(cut -d' ' -f1 /proc/uptime)"
poweroff -f
"""


def make_initrd(folder, times=3):
    """The initramfs that builds the project so often, and powers off."""
    root, initrd = folder / "root", folder / "initrd"
    programs = [shutil.which("tcc"), shutil.which("make")]
    if not all(programs) or not shutil.which("gcc"):
        raise Unavailable("tcc, make or gcc is missing")
    busybox = pathlib.Path("/bin/busybox")
    if not busybox.exists():
        raise Unavailable("/bin/busybox is missing")
    write_project(root / "project")
    (root / "init").write_text(INIT.format(times=times))
    (root / "init").chmod(0o755)
    for program in programs:
        copy(program, root)
    for path in needed_libraries(programs) | set(needed_headers()):
        copy(path, root)
    for name in ("crt1.o", "crti.o", "crtn.o", "libc.so",
                 "libc_nonshared.a", "ld-linux-x86-64.so.2"):
        copy(LIBRARIES / name, root)
    shutil.copytree(LIBRARIES / "tcc", root / str(LIBRARIES / "tcc")[1:])
    subprocess.run([sys.executable, SOURCE / "guests" / "make_initrd.py",
                    initrd, "--busybox", busybox, "--tree", root],
                   check=True)
    return initrd


def build_here(folder):
    """The program's sum when this computer builds it, as the guest does."""
    write_project(folder)
    subprocess.run(["make", "-s"], cwd=folder, check=True,
                   env={"PATH": "/usr/bin:/bin"})
    return subprocess.run(["sha256sum", "program"], cwd=folder, text=True,
                          capture_output=True, check=True).stdout[:64]
