import type { Rule } from "./rule.ts";

/** Opcodes that move data over whatever file they are given. */
const READ_WRITE = [
  "IORING_OP_READ",
  "IORING_OP_WRITE",
  "IORING_OP_READV",
  "IORING_OP_WRITEV",
  "IORING_OP_READ_FIXED",
  "IORING_OP_WRITE_FIXED",
  "IORING_OP_READ_MULTISHOT",
  "IORING_OP_READV_FIXED",
  "IORING_OP_WRITEV_FIXED",
  "IORING_OP_SPLICE",
];

/** Opcodes that send over a socket. */
const SEND = [
  "IORING_OP_SEND",
  "IORING_OP_SENDMSG",
  "IORING_OP_SEND_ZC",
  "IORING_OP_SENDMSG_ZC",
];

/** Opcodes that move data over a socket. */
const SEND_RECEIVE = [...SEND, "IORING_OP_RECV", "IORING_OP_RECVMSG", "IORING_OP_RECV_ZC"];

/** Opcodes that name a file by its path. */
const NAME_FILE = [
  "IORING_OP_OPENAT",
  "IORING_OP_OPENAT2",
  "IORING_OP_UNLINKAT",
  "IORING_OP_RENAMEAT",
  "IORING_OP_LINKAT",
  "IORING_OP_SYMLINKAT",
  "IORING_OP_MKDIRAT",
  "IORING_OP_SETXATTR",
];

/** Files below `/proc/net` that list sockets. */
const SOCKET_TABLES = [
  "tcp",
  "tcp6",
  "udp",
  "udp6",
  "udplite",
  "udplite6",
  "raw",
  "raw6",
  "unix",
  "packet",
];

/** Files of a process and of its threads. */
function ofProcess(...names: readonly string[]): string[] {
  return names.flatMap((name) => [`/proc/*/${name}`, `/proc/*/task/*/${name}`]);
}

/** What tells who was there. */
const TRACES = {
  exact: [
    "/var/run/utmp",
    "/run/utmp",
    "/var/log/lastlog",
    "/var/log/faillog",
    "/var/lib/wtmpdb/wtmp.db",
    "/var/lib/lastlog/lastlog2.db",
  ],
  prefix: [
    "/var/log/audit/",
    "/var/log/journal/",
    "/run/log/journal/",
    "/var/log/wtmp",
    "/var/log/btmp",
    "/var/log/auth.log",
    "/var/log/cron",
    "/var/log/kern.log",
    "/var/log/secure",
    "/var/log/syslog",
    "/var/log/messages",
  ],
  // Not .node_repl_history: Node itself empties that, over io_uring where it is told to use it.
  glob: inHomes(".[!n]*_history", ".local/share/fish/fish_history"),
};

/** Globs of files in every home directory. */
function inHomes(...names: readonly string[]): string[] {
  return names.flatMap((name) => [`/root/${name}`, `/home/*/${name}`]);
}

const PUBLISHED = "curing (armosec), RingReaper (MatheuZSecurity)";

/**
 * The built-in rules. A config disables them, gives them another severity, and adds more in the
 * same form.
 */
export const RULES: readonly Required<Rule>[] = [
  {
    id: "seccomp-bypass",
    title: "Network operation around a seccomp filter",
    severity: "high",
    attack: ["T1562.001", "T1106"],
    reference: "seccomp(2): a filter judges system calls, and io_uring makes none for this request",
    next: "Compare the operation with what the filter forbids; look at how the process was started",
    when: [
      { seccomp: true, opcode: ["network"] },
      { seccomp: true, opcode: READ_WRITE, target: ["socket"] },
    ],
  },
  {
    id: "seccomp-file",
    title: "File operation around a seccomp filter",
    severity: "low",
    attack: ["T1106"],
    reference: "seccomp(2): openat(2), unlinkat(2) and their like are not called for this request",
    next: "Check whether the filter forbids the same operation as a system call",
    when: [{ seccomp: true, opcode: NAME_FILE }],
  },
  {
    id: "c2-channel",
    title: "Connection made and used over io_uring",
    severity: "high",
    attack: ["T1095", "T1071.001"],
    reference: `${PUBLISHED}: CONNECT, then SEND and RECV, or READ and WRITE on the socket`,
    next: "Look up the peer; list what else the process and its children did since the connection",
    when: [
      { opcode: SEND_RECEIVE, after: ["IORING_OP_CONNECT"] },
      { opcode: READ_WRITE, target: ["socket", "unknown"], after: ["IORING_OP_CONNECT"] },
    ],
  },
  {
    id: "outbound-connect",
    title: "Connection made over io_uring",
    severity: "low",
    attack: ["T1095"],
    reference: PUBLISHED,
    next: "Check whether the program is known to use io_uring for its connections",
    when: [
      { opcode: ["IORING_OP_CONNECT"], address: ["0.0.0.0/0", "::/0"] },
      // Connects by what is sent first.
      {
        opcode: SEND_RECEIVE,
        op_info: { flags: ["MSG_FASTOPEN"] },
        address: ["0.0.0.0/0", "::/0"],
      },
    ],
  },
  {
    id: "outbound-message",
    title: "Message sent to an address over io_uring",
    severity: "low",
    attack: ["T1095"],
    reference: "sendto(2): a datagram names its peer, and needs no connection that is made before",
    next: "Check whether the program is known to use io_uring for its messages; look up the peer",
    when: [{ opcode: SEND, names_peer: true, address: ["0.0.0.0/0", "::/0"] }],
  },
  {
    id: "credential-access",
    title: "Credential file named or read",
    severity: "high",
    attack: ["T1003.008", "T1552.001", "T1552.004", "T1555"],
    reference: `${PUBLISHED}: OPENAT and READ of /etc/shadow`,
    next: "Take the secrets as known to others: change them, and look for where they went",
    when: [{
      access: ["read"],
      path: {
        exact: [
          "/etc/shadow",
          "/etc/shadow-",
          "/etc/gshadow",
          "/etc/gshadow-",
          "/etc/sudoers",
          "/etc/security/opasswd",
          "/etc/krb5.keytab",
          "/etc/kubernetes/admin.conf",
        ],
        prefix: [
          "/etc/sudoers.d/",
          "/etc/ssh/ssh_host_",
          "/etc/wireguard/",
          "/etc/NetworkManager/system-connections/",
          "/var/lib/sss/db/",
          "/root/.ssh/",
        ],
        glob: [
          "/home/**/.ssh/**",
          "/var/lib/*/.ssh/**",
          "/run/secrets/kubernetes.io/**",
          "/var/run/secrets/kubernetes.io/**",
          ...inHomes(
            ".aws/credentials",
            ".azure/**",
            ".config/gcloud/**",
            ".docker/config.json",
            ".git-credentials",
            ".gnupg/private-keys-v1.d/**",
            ".kube/config",
            ".local/share/keyrings/**",
            ".mozilla/firefox/**",
            ".netrc",
            ".pgpass",
          ),
        ],
      },
    }],
  },
  {
    id: "user-discovery",
    title: "Login records read",
    severity: "medium",
    attack: ["T1033"],
    reference: "RingReaper, command users: OPENAT and READ of /var/run/utmp",
    next: "Look for what else the process listed, and for a session that it may wait for",
    when: [{
      access: ["read"],
      path: {
        exact: [
          "/var/run/utmp",
          "/run/utmp",
          "/var/log/wtmp",
          "/var/log/btmp",
          "/var/log/lastlog",
          "/var/lib/wtmpdb/wtmp.db",
          "/var/lib/lastlog/lastlog2.db",
        ],
        prefix: ["/run/systemd/sessions/", "/run/systemd/users/"],
      },
    }],
  },
  {
    id: "connection-discovery",
    title: "Connections of the host listed",
    severity: "medium",
    attack: ["T1049"],
    reference: "RingReaper, command ss: OPENAT and READ of /proc/net/tcp",
    next: "Look for what else the process listed, and for its own connections",
    when: [{
      access: ["read"],
      path: {
        glob: SOCKET_TABLES.flatMap((table) => [
          `/proc/net/${table}`,
          `/proc/*/net/${table}`,
          `/proc/*/task/*/net/${table}`,
        ]),
      },
    }],
  },
  {
    id: "process-discovery",
    title: "Other processes looked at",
    severity: "medium",
    attack: ["T1057"],
    reference: "RingReaper, command ps: OPENAT and READ of /proc/PID/comm",
    next: "Check whether the program is a monitor; if not, look for what it was searching",
    when: [{
      access: ["read", "write"],
      path_of: "other_process",
      path: {
        glob: ofProcess(
          "comm",
          "cmdline",
          "status",
          "stat",
          "statm",
          "exe",
          "fd/*",
          "fdinfo/*",
          "cgroup",
          "loginuid",
        ),
      },
    }],
  },
  {
    id: "process-memory",
    title: "Memory or environment of another process read",
    severity: "high",
    attack: ["T1003.007", "T1055.009"],
    reference:
      "RingReaper, command killbpf: /proc/PID/maps read to find and kill tools that use BPF",
    next: "Check that sensors still run; take the secrets of the process that was read as known",
    when: [
      {
        access: ["read", "write"],
        path_of: "other_process",
        path: {
          glob: ofProcess("maps", "smaps", "smaps_rollup", "numa_maps", "mem", "environ", "auxv"),
        },
      },
      // All memory, that of every process too.
      { access: ["read", "write"], path: { exact: ["/proc/kcore", "/dev/mem", "/dev/kmem"] } },
    ],
  },
  {
    id: "tracing-tamper",
    title: "Tracing, auditing or BPF objects changed",
    severity: "critical",
    attack: ["T1562.001", "T1562.006", "T1562.012"],
    reference: "RingReaper, command killbpf: writes to tracing_on, unlinks pinned BPF objects",
    next: "Take every sensor on the host as blind since then; go on with a memory image",
    when: [{
      access: ["write", "remove"],
      path: {
        exact: ["/proc/sys/kernel/ftrace_enabled"],
        prefix: [
          "/sys/kernel/tracing/",
          "/sys/kernel/debug/tracing/",
          "/sys/kernel/debug/kprobes/",
          "/sys/fs/bpf/",
          "/sys/kernel/security/",
          "/sys/fs/selinux/",
          "/etc/audit/",
        ],
      },
    }],
  },
  {
    id: "self-delete",
    title: "Own executable removed",
    severity: "high",
    attack: ["T1070.004"],
    reference: "RingReaper, command selfdestruct: UNLINKAT of its own executable",
    next: "Copy the executable from /proc/PID/exe before the process ends, or from a memory image",
    when: [{ access: ["remove"], path_of: "own_executable" }],
  },
  {
    id: "indicator-removal",
    title: "Log or shell history removed or emptied",
    severity: "medium",
    attack: ["T1070.002", "T1070.003"],
    reference: "MITRE ATT&CK T1070",
    next: "Compare with logs that were sent elsewhere; recover the file from the disk",
    when: [
      { access: ["remove"], path: TRACES },
      // Emptied, or linked to where nothing is kept.
      { opcode: ["IORING_OP_FTRUNCATE"], path: TRACES },
      {
        opcode: ["IORING_OP_OPENAT", "IORING_OP_OPENAT2"],
        op_info: { creation_flags: ["O_TRUNC"] },
        path: TRACES,
      },
      {
        opcode: ["IORING_OP_FALLOCATE"],
        op_info: {
          mode: ["FALLOC_FL_PUNCH_HOLE", "FALLOC_FL_ZERO_RANGE", "FALLOC_FL_COLLAPSE_RANGE"],
        },
        path: TRACES,
      },
      {
        opcode: ["IORING_OP_SYMLINKAT", "IORING_OP_LINKAT", "IORING_OP_RENAMEAT"],
        access: ["write"],
        path: TRACES,
      },
    ],
  },
  {
    id: "persistence-write",
    title: "Write to where programs are started from",
    severity: "high",
    attack: ["T1053.003", "T1543.002", "T1546.004", "T1574.006", "T1098.004"],
    reference: "MITRE ATT&CK TA0003",
    next: "Read the file that was written, and compare it with the package that it belongs to",
    when: [{
      access: ["write"],
      path: {
        exact: [
          "/etc/crontab",
          "/etc/anacrontab",
          "/etc/rc.local",
          "/etc/inittab",
          "/etc/profile",
          "/etc/bash.bashrc",
          "/etc/bashrc",
          "/etc/zsh/zshenv",
          "/etc/zsh/zshrc",
          "/etc/zsh/zprofile",
          "/etc/zshenv",
          "/etc/zshrc",
          "/etc/environment",
          "/etc/ld.so.preload",
          "/etc/ld.so.conf",
          "/etc/passwd",
          "/etc/shadow",
          "/etc/group",
          "/etc/gshadow",
          "/etc/sudoers",
          "/etc/doas.conf",
          "/etc/nsswitch.conf",
          "/etc/modules",
          "/etc/ssh/sshd_config",
          "/etc/ssh/sshrc",
          // Programs that the kernel starts.
          "/proc/sys/kernel/core_pattern",
          "/proc/sys/kernel/modprobe",
          "/proc/sys/fs/binfmt_misc/register",
          "/sys/kernel/uevent_helper",
        ],
        prefix: [
          "/etc/cron.",
          "/var/spool/cron/",
          "/var/spool/at/",
          "/etc/systemd/",
          "/lib/systemd/",
          "/usr/lib/systemd/",
          "/usr/local/lib/systemd/",
          "/run/systemd/system/",
          "/run/systemd/generator",
          "/etc/init.d/",
          "/etc/init/",
          "/etc/rc.d/",
          "/etc/profile.d/",
          "/etc/ld.so.conf.d/",
          "/etc/pam.d/",
          "/etc/sudoers.d/",
          "/etc/udev/rules.d/",
          "/lib/udev/rules.d/",
          "/usr/lib/udev/rules.d/",
          "/run/udev/rules.d/",
          "/etc/dbus-1/system.d/",
          "/usr/share/dbus-1/system-services/",
          "/etc/polkit-1/rules.d/",
          "/etc/logrotate.d/",
          "/etc/xinetd.d/",
          "/etc/initramfs-tools/",
          "/etc/dracut.conf.d/",
          "/etc/grub.d/",
          "/boot/",
          "/etc/skel/",
          "/etc/modules-load.d/",
          "/etc/modprobe.d/",
          "/lib/modules/",
          "/usr/lib/modules/",
          "/etc/update-motd.d/",
          "/etc/xdg/autostart/",
          "/etc/X11/Xsession.d/",
          "/etc/apt/apt.conf.d/",
          "/etc/NetworkManager/dispatcher.d/",
          "/etc/networkd-dispatcher/",
          "/etc/dhcp/",
          "/etc/ppp/ip-up.d/",
          "/etc/ssh/sshd_config.d/",
        ],
        glob: [
          "/etc/rc[0-6S].d/*",
          "/etc/network/if-*.d/*",
          "/lib/**/security/pam_*.so",
          "/usr/lib/**/security/pam_*.so",
          "/lib64/security/pam_*.so",
          "/usr/lib64/security/pam_*.so",
          "/root/.ssh/authorized_keys*",
          "/home/**/.ssh/authorized_keys*",
          "/var/lib/*/.ssh/authorized_keys*",
          ...inHomes(
            ".ssh/config",
            ".ssh/rc",
            ".bash_aliases",
            ".bashrc",
            ".bash_profile",
            ".bash_login",
            ".bash_logout",
            ".profile",
            ".zshrc",
            ".zshenv",
            ".zprofile",
            ".xprofile",
            ".xsession*",
            ".xinitrc",
            ".config/systemd/user/**",
            ".local/share/systemd/user/**",
            ".config/autostart/**",
            ".config/fish/config.fish",
          ),
        ],
      },
    }],
  },
  {
    id: "binary-replace",
    title: "System program or library replaced, or given capabilities",
    severity: "high",
    attack: ["T1554", "T1548.001"],
    reference: "MITRE ATT&CK T1554",
    next: "Verify the program against its package",
    when: [
      {
        access: ["write"],
        path: {
          prefix: ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/libexec/"],
          glob: [
            "/lib/*-linux-gnu/lib*.so*",
            "/usr/lib/*-linux-gnu/lib*.so*",
            "/lib64/lib*.so*",
            "/usr/lib64/lib*.so*",
          ],
        },
      },
      {
        opcode: ["IORING_OP_SETXATTR", "IORING_OP_FSETXATTR"],
        op_info: { name: ["security.capability"] },
      },
    ],
  },
  {
    id: "suid-hunt",
    title: "Programs of the system looked through one by one",
    severity: "medium",
    attack: ["T1083", "T1548.001"],
    reference: "RingReaper, command privesc: STATX of every file in /usr/bin",
    next: "If it is no file finder such as plocate, look for a set-user-id program started later",
    when: [{
      // Capabilities of a program are an attribute.
      opcode: ["IORING_OP_STATX", "IORING_OP_GETXATTR"],
      path: {
        prefix: [
          "/bin/",
          "/sbin/",
          "/usr/bin/",
          "/usr/sbin/",
          "/usr/local/bin/",
          "/usr/local/sbin/",
        ],
      },
      distinct_paths: 16,
      // A program that copies them reads or makes a file of the same name.
      lookups_only: true,
    }],
  },
  {
    id: "hidden-ring",
    title: "Ring that no file descriptor shows",
    severity: "medium",
    attack: ["T1014", "T1564"],
    reference:
      "io_uring_setup(2), IORING_SETUP_REGISTERED_FD_ONLY: the ring is not in /proc/PID/fd",
    next: "Look at what the ring did; tools that list descriptors cannot see it",
    when: [
      { without_fd: true },
      { setup_flags: ["IORING_SETUP_REGISTERED_FD_ONLY"] },
    ],
  },
  {
    id: "sqpoll-ring",
    title: "Ring whose requests a kernel thread submits",
    severity: "info",
    attack: ["T1106"],
    reference: "io_uring_setup(2), IORING_SETUP_SQPOLL: requests run without any system call",
    next: "Nothing by itself; the process's system calls say little about what it does",
    when: [{ setup_flags: ["IORING_SETUP_SQPOLL"] }],
  },
  {
    id: "unusual-ring",
    title: "Ring in memory of its process, or closed to requests at first",
    severity: "info",
    attack: ["T1106"],
    reference: "io_uring_setup(2), IORING_SETUP_NO_MMAP and IORING_SETUP_R_DISABLED",
    next: "Nothing by itself; few programs ask for it",
    when: [{ setup_flags: ["IORING_SETUP_NO_MMAP", "IORING_SETUP_R_DISABLED"] }],
  },
  {
    id: "foreign-ring",
    title: "Ring in the hands of a process that neither created nor inherited it",
    severity: "medium",
    attack: ["T1055"],
    reference: "io_uring(7): a ring is inherited over fork(2) and can be sent over a unix socket",
    next: "Find out how the ring got there: SCM_RIGHTS, pidfd_getfd(2), or another program's fork",
    when: [{ foreign: true }],
  },
  {
    id: "inherited-ring",
    title: "Ring in the hands of a child of the process that created it",
    severity: "low",
    attack: ["T1055"],
    reference: "PostgreSQL 18 makes its rings before it forks; malware can do the same",
    next: "Check whether the program is a server that shares its rings among its processes",
    when: [{ inherited: true }],
  },
  {
    id: "personality-switch",
    title: "Request with credentials that are not its process's",
    severity: "medium",
    attack: ["T1548", "T1134"],
    reference: "io_uring_register(2), IORING_REGISTER_PERSONALITY",
    next: "Compare the credentials: did a process that gave up its privileges use them again?",
    when: [{ other_credentials: true }],
  },
  {
    id: "personality-registered",
    title: "Credentials stored in a ring for later",
    severity: "low",
    attack: ["T1134"],
    reference: "io_uring_register(2), IORING_REGISTER_PERSONALITY",
    next: "Watch whether the process gives up privileges and uses the ring afterwards",
    when: [{ operation: ["IORING_REGISTER_PERSONALITY"] }],
  },
  {
    id: "silent-completion",
    title: "Sensitive operation that hides its completion",
    severity: "medium",
    attack: ["T1562.006"],
    reference:
      "io_uring_enter(2), IOSQE_CQE_SKIP_SUCCESS: no completion, so tools that wait for one " +
      "see nothing",
    next: "Look at the request itself; its result is not recorded anywhere",
    when: [{
      sqe_flags: ["IOSQE_CQE_SKIP_SUCCESS"],
      opcode: ["IORING_OP_CONNECT", "IORING_OP_SOCKET", ...NAME_FILE, ...SEND_RECEIVE],
    }],
  },
  {
    id: "probing",
    title: "Many refused requests in a second",
    severity: "medium",
    attack: ["T1082"],
    reference: "io_uring_req_failed: what the kernel, a restriction or a BPF filter refuses",
    next: "Look at what was tried: opcodes that do not exist are a search for a weakness",
    when: [
      { rejected: true, times: 16 },
      { rejected: true, opcode: ["UNKNOWN"], times: 3 },
    ],
  },
  {
    id: "restricted-request",
    title: "Request that its ring does not allow",
    severity: "low",
    attack: ["T1106"],
    reference: "io_uring_register(2), IORING_REGISTER_RESTRICTIONS and IORING_REGISTER_BPF_FILTER",
    next: "Look at what was tried: a program that is confined to a ring has gone beyond it",
    when: [{ rejected: true, errno: ["EACCES"] }],
  },
  {
    id: "device-command",
    title: "Raw command to a storage device",
    severity: "low",
    attack: ["T1006"],
    reference: "IORING_OP_URING_CMD on NVMe and ublk devices goes past the file system",
    next: "Check whether the program is a storage tool",
    when: [{
      opcode: ["IORING_OP_URING_CMD", "IORING_OP_URING_CMD128"],
      path: { prefix: ["/dev/ng", "/dev/nvme", "/dev/ublk"] },
    }],
  },
  {
    id: "socket-option",
    title: "Socket option set over io_uring",
    severity: "info",
    attack: ["T1106"],
    reference: "SOCKET_URING_OP_SETSOCKOPT: setsockopt(2) is not called",
    next: "Look at the level and the option",
    when: [{
      opcode: ["IORING_OP_URING_CMD", "IORING_OP_URING_CMD128"],
      op_info: { cmd: ["SOCKET_URING_OP_SETSOCKOPT"] },
    }],
  },
];
