"""The systemd unit of a Telvend server, and what must exist before it can start. Pure: nothing is read or written here.

    unit = ServiceUnit(program=Path("/opt/telvend/bin/telvend"))
    unit.text()                        the whole file
    refusal = unit.refusal()           why it could not work, or None

Sources: systemd.service(5), systemd.exec(5), systemd-analyze(1) `security`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = "telvend.service"
UNIT_FILE: Final = Path("/etc/systemd/system") / NAME
DATA_DIR: Final = Path("/var/lib/telvend")
ENVIRONMENT_FILE: Final = Path("/etc/telvend/telvend.env")
USER: Final = "telvend"

_HIDDEN: Final = (Path("/home"), Path("/root"), Path("/run/user"))
"""Folders that `ProtectHome=yes` hides from the service."""
_PLAIN: Final = re.compile(r"/[A-Za-z0-9/._+@:-]*")
"""A path that needs no quoting and no escaping in a unit file."""
_USER_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

ENVIRONMENT: Final = """\
# Settings of Telvend that are secrets, one a line, read by systemd before the service starts. Only root may read this file.
# Commands that you type do not read it; what they need too belongs into telvend.toml in the data directory.
# `telvend settings` lists every setting with its variable. For example:
# TELVEND_PAYSTACK_SECRET_KEY=sk_live_...
"""

_UNIT: Final = """\
# Written by `telvend install-service`. Changes belong into a drop-in (`systemctl edit telvend`), which an update leaves alone.

[Unit]
Description=Telvend{what}
After=network-online.target time-sync.target
Wants=network-online.target
# However often it fails to start, it is tried again: the shop is closed until then.
StartLimitIntervalSec=0

[Service]
# Telvend says when it serves, and every few seconds that it still does; one that stands still is replaced.
Type=notify
NotifyAccess=main
WatchdogSec=15
# Repairing a large database after a power cut, or bringing it to a new version, may take minutes.
TimeoutStartSec=15min
User={user}
Group={user}
Environment=TELVEND_DATA_DIR={data_dir}
EnvironmentFile=-{environment_file}
ExecStart={program} {command}
Restart=always
RestartSec=1
# The first process alone is told to stop: it lets the others finish, and PostgreSQL last of all.
KillMode=mixed
TimeoutStopSec=60
# A server process of PostgreSQL that runs out of memory is replaced by PostgreSQL itself.
OOMPolicy=continue
LimitNOFILE=65536
UMask=0077

# The service reads the system and writes its data directory. /tmp holds the socket of the embedded database, whose folder only
# this user may enter; commands look for it there, so that PrivateTmp must stay off.
ProtectSystem=strict
ReadWritePaths={data_dir} /tmp
ProtectHome=yes
PrivateTmp=no
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
# Shared memory and semaphores of the embedded database survive until it removes them.
RemoveIPC=no
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
KeyringMode=private

[Install]
WantedBy=multi-user.target
"""


_AUDIT: Final = """\
# Written by `telvend install-service`: an audit of the books, which the timer of the same name starts.

[Unit]
Description=Telvend, audit
After={name}.service

[Service]
Type=oneshot
User={user}
Group={user}
Environment=TELVEND_DATA_DIR={data_dir}
EnvironmentFile=-{environment_file}
ExecStart={program} audit
Nice=10
UMask=0077
ProtectSystem=strict
ReadWritePaths={data_dir} /tmp
ProtectHome=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""

_TIMER: Final = """\
# Written by `telvend install-service`.

[Unit]
Description=Telvend, an audit every night

[Timer]
OnCalendar=*-*-* 03:30
RandomizedDelaySec=15min
# One that was missed, because the machine was off, is made up for.
Persistent=yes

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """The unit of one server. `delivers_only`: it runs `telvend work`, beside nodes that sell."""

    program: Path
    user: str = USER
    data_dir: Path = DATA_DIR
    environment_file: Path = ENVIRONMENT_FILE
    delivers_only: bool = False

    def text(self) -> str:
        """Return the unit file."""
        return _UNIT.format(
            what=", deliveries" if self.delivers_only else "",
            user=self.user,
            data_dir=self.data_dir,
            environment_file=self.environment_file,
            program=self.program,
            command="work" if self.delivers_only else "serve",
        )

    def units(self, name: str) -> dict[str, str]:
        """Return every unit file by its name: the server, and on a node that sells the audit with its timer."""
        found = {f"{name}.service": self.text()}
        if not self.delivers_only:
            found[f"{name}-audit.service"] = _AUDIT.format(
                name=name,
                user=self.user,
                data_dir=self.data_dir,
                environment_file=self.environment_file,
                program=self.program,
            )
            found[f"{name}-audit.timer"] = _TIMER
        return found

    def refusal(self) -> str | None:
        """Return why the service could not work like this; None where it can."""
        if not _USER_NAME.fullmatch(self.user):
            return f"{self.user!r} cannot be the name of a user: small letters, digits, - and _."
        if self.user == "root":
            return "The service does not run as root: name another user with --user."
        for what, path in (
            ("The program", self.program),
            ("The data directory", self.data_dir),
            ("The environment file", self.environment_file),
        ):
            if not _PLAIN.fullmatch(str(path)):
                return f"{what} {str(path)!r} must be an absolute path of letters, digits and . _ + @ : -"
        for what, path in (("The program", self.program), ("The data directory", self.data_dir)):
            if any(path.is_relative_to(folder) for folder in _HIDDEN):
                return f"{what} {path} is in a home directory, which services do not see: use /opt or /var/lib."
        return None
