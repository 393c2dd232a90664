/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The kernel's types as far as they are used, without any kernel's own headers. Offsets are
 * relocated from the running kernel's BTF at load. A type that changed over time has flavours,
 * told apart by a ___suffix that relocation ignores; each says which release made it.
 */
#ifndef __KERNEL_TYPES_H
#define __KERNEL_TYPES_H

typedef unsigned char __u8;
typedef short int __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long int __s64;
typedef unsigned long long __u64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_PROD_POS = 3,
};

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	u32 val;
} kuid_t;

/* 8 bytes in all kernels: u32 cap[2] through 6.2, a u64 since; read by address. */
typedef struct {
	u32 cap[2];
} kernel_cap_t;

struct cred {
	kuid_t uid;
	kuid_t gid;
	kuid_t suid;
	kuid_t sgid;
	kuid_t euid;
	kuid_t egid;
	kernel_cap_t cap_inheritable;
	kernel_cap_t cap_permitted;
	kernel_cap_t cap_effective;
};

struct seccomp {
	int mode;
	atomic_t filter_count; /* since 5.11 (and 5.10 stable) */
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct qstr {
	u32 hash; /* of the name and of where it is */
	u32 len;
	const unsigned char *name;
};

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	u16 i_mode;
	unsigned long i_ino;
	unsigned int i_nlink;
	struct super_block *i_sb;
};

struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
};

struct dentry {
	unsigned int d_flags;
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
	const void *f_op;
	const struct cred *f_cred;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct mm_struct {
	unsigned long arg_start, arg_end;
	unsigned long saved_auxv[52];
	struct file *exe_file;
};

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
};

/* 6.14 renamed the parent, which became an RCU pointer. */
struct kernfs_node___v614 {
	struct kernfs_node *__parent;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup_subsys_state *subsys[14];
	struct cgroup *dfl_cgrp;
};

/* Values come from the running kernel. */
enum cgroup_subsys_id {
	pids_cgrp_id = 1,
	memory_cgrp_id = 2,
};

struct xarray {
	void *xa_head;
};

struct xa_node {
	unsigned char shift;
	void *slots[64]; /* 16 with CONFIG_BASE_SMALL */
};

/* What a task's table of rings points to since 5.12; to the ring's struct file before. */
struct io_tctx_node {
	struct io_ring_ctx *ctx;
};

struct io_uring_task {
	struct xarray xa;
	struct file *registered_rings[16]; /* since 5.18 */
};

struct task_struct {
	unsigned int flags;
	struct mm_struct *mm;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct io_uring_task *io_uring;
	kuid_t loginuid; /* with CONFIG_AUDIT */
	struct seccomp seccomp; /* its members with CONFIG_SECCOMP */
	u64 self_exec_id;
	struct css_set *cgroups;
};

/* io_uring */

struct io_uring_sqe {
	u8 opcode;
	u8 flags;
	s32 fd;
	u64 off;
	u64 addr;
	u32 len;
	u64 user_data;
	u16 personality;
	u64 addr3; /* since 5.19 */
};

struct io_uring_cqe {
	u64 user_data;
	s32 res;
	u32 flags;
};

/* 5.19 gathered them; a direct member user_data before. */
struct io_cqe {
	u64 user_data;
	int fd; /* since 6.0 */
};

struct io_kiocb {
	u8 opcode;
	u16 buf_index;
	u32 flags; /* a u64 since 6.8, of which this is the lower half */
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	void *async_data;
	const struct cred *creds; /* since 5.15 */
	struct file *file;
};

/* Through 5.18. */
struct io_kiocb___v518 {
	u64 user_data;
	u32 result;
	u32 cflags;
};

struct io_uring {
	u32 head;
	u32 tail;
};

struct io_rings {
	struct io_uring sq, cq;
	u32 sq_ring_mask;
	u32 sq_ring_entries, cq_ring_entries;
	u32 sq_dropped;
	u32 cq_overflow;
};

struct user_struct {
	kuid_t uid;
};

struct io_rsrc_node {
	unsigned long file_ptr;
};

struct io_rsrc_data {
	unsigned int nr;
	struct io_rsrc_node **nodes;
};

/* Since 6.13. */
struct io_file_table {
	struct io_rsrc_data data;
};

/* Through 6.12. */
struct io_fixed_file {
	unsigned long file_ptr;
};
struct io_file_table___v612 {
	struct io_fixed_file *files;
};

struct io_sq_data {
	struct task_struct *thread;
	int sq_cpu;
};

struct io_ring_ctx {
	unsigned int flags;
	struct io_rings *rings;
	u32 *sq_array;
	struct io_uring_sqe *sq_sqes;
	unsigned int cached_sq_head;
	unsigned int sq_entries;
	unsigned int cq_entries;
	struct io_file_table file_table;
	unsigned int nr_user_files; /* through 6.12 */
	struct io_sq_data *sq_data;
	struct task_struct *sqo_task; /* through 5.11 */
	struct task_struct *submitter_task;
	const struct cred *sq_creds;
	struct user_struct *user;
};

struct filename {
	const char *name;
};

/* 7.0 put this in place of the pointer; its one member is that pointer. */
struct delayed_filename {
	struct filename *__incomplete_filename;
};

struct io_open {
	int dfd;
	u32 file_slot; /* since 5.15 */
	struct filename *filename;
};
struct io_open___v7 {
	struct delayed_filename filename;
};
struct io_statx {
	int dfd;
	struct filename *filename; /* const char __user * through 5.18 */
};
/* Through 5.18. */
struct io_statx___v518 {
	const char *filename;
};
struct io_statx___v7 {
	struct delayed_filename filename;
};
struct io_unlink {
	int dfd;
	struct filename *filename;
};
struct io_unlink___v7 {
	struct delayed_filename filename;
};
struct io_mkdir {
	int dfd;
	struct filename *filename;
};
struct io_mkdir___v7 {
	struct delayed_filename filename;
};
struct io_rename {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};
struct io_rename___v7 {
	struct delayed_filename oldpath;
	struct delayed_filename newpath;
};
struct io_splice {
	int splice_fd_in;
	unsigned int flags;
};
/* 6.0 joined io_symlink and io_hardlink. */
struct io_link {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};
struct io_link___v7 {
	struct delayed_filename oldpath;
	struct delayed_filename newpath;
};
struct io_symlink {
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};
struct io_hardlink {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};

struct xattr_name {
	char name[256];
};
struct xattr_ctx {
	struct xattr_name *kname;
};
/* 6.13 renamed it. */
struct kernel_xattr_ctx {
	struct xattr_name *kname;
};
struct io_xattr {
	struct xattr_ctx ctx;
	struct filename *filename;
};
struct io_xattr___v613 {
	struct kernel_xattr_ctx ctx;
};
struct io_xattr___v7 {
	struct delayed_filename filename;
};

struct sockaddr_storage {
	u16 ss_family;
};
/* 6.17 or so renamed it. */
struct __kernel_sockaddr_storage {
	u16 ss_family;
};

struct iov_iter {
	u64 count;
};
struct msghdr {
	void *msg_name;
	int msg_namelen;
	struct iov_iter msg_iter;
};
struct io_async_msghdr {
	struct msghdr msg;
	struct sockaddr_storage addr;
};
struct io_async_msghdr___v617 {
	struct __kernel_sockaddr_storage addr;
};
/* Through 6.9: the copy of an address that only asynchronous requests have. */
struct io_async_connect {
	struct sockaddr_storage address;
};
struct io_connect {
	void *addr;
	int addr_len;
};
struct io_bind {
	int addr_len;
};
struct io_accept {
	u32 file_slot; /* since 5.15 */
};
struct io_close {
	int fd;
	u32 file_slot; /* since 5.15 */
};
struct io_epoll {
	int epfd;
};
struct io_sr_msg {
	void *umsg;
	void *buf;
	u64 len;
	/* 6.0 to 6.9. */
	void *addr;
	int addr_len;
};
struct io_rw {
	u64 addr;
	u32 len;
};
struct io_async_rw {
	struct iov_iter iter;
};
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
struct io_timeout_data {
	struct timespec64 ts;
	u32 flags;
};
struct io_timeout_rem {
	struct timespec64 ts;
	u32 flags;
};
/* 7.x counts nanoseconds. */
typedef s64 ktime_t;
struct io_timeout_data___v7 {
	ktime_t time;
};
struct io_timeout_rem___v7 {
	ktime_t time;
};
struct io_uring_cmd {
	const struct io_uring_sqe *sqe; /* since 6.3; ->cmd inside it before */
};
struct io_nop {
	unsigned int flags; /* since 6.13 */
};

/* Sockets. */

struct in6_addr {
	u8 s6_addr[16];
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct socket {
	short type;
	struct sock *sk;
};

struct sockaddr_un {
	u16 sun_family;
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct sock *peer;
};

/* Iterators. */

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif /* __KERNEL_TYPES_H */
