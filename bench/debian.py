# SPDX-License-Identifier: Apache-2.0
"""Debian from the start of the process to its login, at its first boot.

The image is the one of `lodge image build debian`, built once and kept in the
build folder, where the tests look for it too. lodge is started as its users do,
`lodge run debian --ephemeral`. QEMU gets the same: kernel, initramfs and
command line of the image's record, a new overlay on the image's disk, and a
volume for cloud-init that says what lodge's says.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from guests import BenchError, Process

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / 'guests'))
import recipe  # noqa: E402

LOGIN = rb'bench login: '
MEMORY = '1G'
LIMIT = 180
BUILD_LIMIT = 1800

META = '{"instance-id": "bench-1", "local-hostname": "bench"}\n'
USER = '#cloud-config\n{"user": {"name": "lodge", "gecos": "lodge"}}\n'


class Debian:
    """The image, and machines made of it in a folder that goes again."""

    def __init__(self, lodge, build, say):
        self.lodge = lodge
        self.store = (pathlib.Path(build).resolve() / 'guest' / 'images' /
                      recipe.digest(TOP / 'guests' / 'debian'))
        self.say = say

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix='lodge-bench-')
        self.env = dict(os.environ, XDG_DATA_HOME=str(self.store),
                        XDG_RUNTIME_DIR=self.folder)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *words, limit=60):
        return subprocess.run([self.lodge, *words], capture_output=True,
                              env=self.env, text=True, timeout=limit,
                              check=False)

    def image(self):
        """The image's record; the image is made when there is none."""
        found = self.ask('image', 'info', 'debian', '--json')
        if found.returncode:
            self.say('bench: building Debian, which takes some minutes')
            shutil.rmtree(self.store.parent, ignore_errors=True)
            built = self.ask('image', 'build', 'debian', limit=BUILD_LIMIT)
            if built.returncode:
                raise BenchError(built.stderr.strip())
            found = self.ask('image', 'info', 'debian', '--json')
        return json.loads(found.stdout)

    def lodge_seconds(self):
        command = ['env', f'XDG_DATA_HOME={self.store}',
                   f'XDG_RUNTIME_DIR={self.folder}', self.lodge, 'run',
                   'debian', '--engine', 'soft', '--ephemeral', '--name',
                   'bench', '--memory', MEMORY]
        with Process('lodge', command) as process:
            return process.wait_for(LOGIN, LIMIT)

    def seed(self):
        """A volume for cloud-init, by mtools."""
        path = os.path.join(self.folder, 'seed')
        with open(path, 'wb') as file:
            file.truncate(1 << 20)
        commands = [['mformat', '-i', path, '-v', 'cidata', '::']]
        for name, text in (('meta-data', META), ('user-data', USER)):
            source = os.path.join(self.folder, name)
            pathlib.Path(source).write_text(text, encoding='ascii')
            commands.append(['mcopy', '-i', path, source, f'::{name}'])
        for command in commands:
            try:
                subprocess.run(command, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise BenchError(f'{command[0]} failed; it is of the package '
                                 'mtools') from error
        return path

    def qemu_seconds(self, qemu, image, append):
        overlay = os.path.join(self.folder, 'overlay')
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw',
                        '-b', os.path.join(image['folder'], 'disk.raw'),
                        overlay], check=True)
        drive = 'if=virtio,format'
        command = [qemu, '-nodefaults', '-no-user-config', '-display', 'none',
                   '-no-reboot', '-serial', 'stdio', '-machine', 'q35',
                   '-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', MEMORY,
                   '-device', 'virtio-rng-pci',
                   '-kernel', os.path.join(image['folder'], 'kernel'),
                   '-initrd', os.path.join(image['folder'], 'initrd'),
                   '-append', f'{append} {image["append"]}',
                   '-drive', f'{drive}=qcow2,file={overlay}',
                   '-drive', f'{drive}=raw,readonly=on,file={self.seed()}']
        with Process('qemu', command) as process:
            return process.wait_for(LOGIN, LIMIT)


def seconds_to_login(setup, build, say):
    """Of lodge and QEMU."""
    with Debian(setup.lodge.program, build, say) as debian:
        image = debian.image()
        return {'lodge': debian.lodge_seconds(),
                'qemu': debian.qemu_seconds(setup.qemu.program, image,
                                            setup.append)}
