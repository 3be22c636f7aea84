#include "config.h"

#include "server/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/*
 * What gate, console, keeper and courier may call; a call in no table fails with EPERM,
 * one of `killed` ends the process. A call that this machine's kernel does not
 * have is skipped.
 */
/* clang-format off */
static const int common[] = { /* memory, time, threads' waiting, descriptors that are open, ending */
	SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise),
	SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock),
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(fcntl),
	SCMP_SYS(fstat), SCMP_SYS(lseek), SCMP_SYS(dup),
	SCMP_SYS(recvmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime), SCMP_SYS(pipe2),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
	SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(rseq), SCMP_SYS(set_robust_list),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getrusage), SCMP_SYS(prlimit64), SCMP_SYS(sched_getaffinity), SCMP_SYS(uname),
	SCMP_SYS(sysinfo), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static const int gate_only[] = { SCMP_SYS(accept), SCMP_SYS(accept4) }; /* and the console */

static const int runner_only[] = { SCMP_SYS(connect), SCMP_SYS(newfstatat) }; /* to the gate; is a descriptor still its own? */

static const int keeper_only[] = { /* files under the ledger's folder; socketless */
	SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(flock),
	SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(mkdirat), SCMP_SYS(unlinkat), SCMP_SYS(linkat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(getdents64), SCMP_SYS(fchmod),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
};

static const int courier_only[] = { /* connections out, the resolver's files, libcurl's thread for it */
	SCMP_SYS(connect), SCMP_SYS(socketpair), SCMP_SYS(ioctl), SCMP_SYS(sendmmsg),
	SCMP_SYS(openat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(pread64), SCMP_SYS(getdents64),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(access), SCMP_SYS(readlink), SCMP_SYS(getpeername),
};

/* No error, no fallback of a library leads here: whoever calls these has taken the process over. */
static const int killed[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(listen),
	SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
	SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(capset), SCMP_SYS(unshare), SCMP_SYS(setns),
	SCMP_SYS(chroot), SCMP_SYS(pivot_root), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(io_uring_setup),
};
static const int killed_in_gate[] = {
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(socket), SCMP_SYS(socketpair),
};
static const int killed_in_keeper[] = {
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(accept), SCMP_SYS(accept4),
};
static const int killed_in_courier[] = { SCMP_SYS(bind), SCMP_SYS(accept), SCMP_SYS(accept4) }; /* and a runner */

/*
 * The worker runs a vendor's code, which may want files, devices, shared
 * memory or a network of its own; that cannot be listed. So the table is of
 * what no module of a keyholder has a reason for; these fail with EPERM.
 */
static const int worker_refused[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pidfd_send_signal), SCMP_SYS(kcmp), SCMP_SYS(process_madvise),
	SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo),
	SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
	SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(capset),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(chroot), SCMP_SYS(pivot_root), SCMP_SYS(mount), SCMP_SYS(umount2),
	SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(mount_setattr),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(quotactl), SCMP_SYS(acct),
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
	SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(syslog), SCMP_SYS(iopl), SCMP_SYS(ioperm),
	SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(personality), SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname), SCMP_SYS(setsid), SCMP_SYS(setpgid), SCMP_SYS(fanotify_init),
};
/* clang-format on */

bool
kmn_confine_can_filter(void)
{
	return !SANITIZED;
}

/* ---- seccomp ----------------------------------------------------------------------------------------------------- */

/* A call that libseccomp does not know on this machine is not there to be called: -EDOM, -EFAULT are no failure. */
static int
add_table(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int error = seccomp_rule_add(filter, action, calls[i], 0);

		if (error != 0 && error != -EDOM && error != -EFAULT)
			return error;
	}
	return 0;
}

#define ADD(filter, action, table) add_table(filter, action, table, KMN_COUNT_OF(table))

/* A thread yes, a process no: clone tells by a flag. clone3 hides its flags, so libc is sent back to clone. */
static int
add_threads(scmp_filter_ctx filter, uint32_t allowed, uint32_t refused)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (error == 0 && allowed != 0)
		error = seccomp_rule_add(
		    filter, allowed, SCMP_SYS(clone), 1, SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (error == 0)
		error = seccomp_rule_add(
		    filter, refused, SCMP_SYS(clone), 1, SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	return error;
}

/* abort() signals the own process; nobody else's. */
static int
add_own_signals(scmp_filter_ctx filter, bool by_table)
{
	scmp_datum_t own = (scmp_datum_t)getpid();

	return by_table
		   ? seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, own, 0))
		   : seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_NE, own, 0));
}

/* Sockets of the Internet alone: libc, refused its local and netlink ones, goes on without them. */
static int
add_internet(scmp_filter_ctx filter)
{
	static const scmp_datum_t families[] = {AF_INET, AF_INET6};
	int error = 0;

	for (size_t i = 0; error == 0 && i < KMN_COUNT_OF(families); i++)
		error =
		    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, families[i], 0));
	return error;
}

static int
fill_courier(scmp_filter_ctx filter)
{
	int error;

	if ((error = ADD(filter, SCMP_ACT_ALLOW, courier_only)) == 0 &&
	    (error = ADD(filter, SCMP_ACT_KILL_PROCESS, killed_in_courier)) == 0 && (error = add_internet(filter)) == 0)
		error = add_threads(filter, SCMP_ACT_ALLOW, SCMP_ACT_KILL_PROCESS);
	return error;
}

static int
fill_runner(scmp_filter_ctx filter)
{
	int error;

	if ((error = ADD(filter, SCMP_ACT_ALLOW, runner_only)) == 0 &&
	    (error = ADD(filter, SCMP_ACT_KILL_PROCESS, killed_in_courier)) == 0 && (error = add_internet(filter)) == 0)
		error = add_threads(filter, 0, SCMP_ACT_KILL_PROCESS);
	return error;
}

static int
fill_filter(scmp_filter_ctx filter, enum kmn_role role)
{
	int error;

	if (role == KMN_ROLE_WORKER) {
		if ((error = ADD(filter, SCMP_ACT_ERRNO(EPERM), worker_refused)) == 0 &&
		    (error = add_threads(filter, 0, SCMP_ACT_ERRNO(EPERM))) == 0)
			error = add_own_signals(filter, false);
		return error;
	}
	if ((error = ADD(filter, SCMP_ACT_ALLOW, common)) != 0 ||
	    (error = ADD(filter, SCMP_ACT_KILL_PROCESS, killed)) != 0 || (error = add_own_signals(filter, true)) != 0)
		return error;
	if (role == KMN_ROLE_COURIER)
		return fill_courier(filter);
	if (role == KMN_ROLE_RUNNER)
		return fill_runner(filter);
	if (role == KMN_ROLE_GATE || role == KMN_ROLE_CONSOLE) {
		if ((error = ADD(filter, SCMP_ACT_ALLOW, gate_only)) == 0 &&
		    (error = ADD(filter, SCMP_ACT_KILL_PROCESS, killed_in_gate)) == 0)
			error = add_threads(filter, 0, SCMP_ACT_KILL_PROCESS);
		return error;
	}
	if ((error = ADD(filter, SCMP_ACT_ALLOW, keeper_only)) == 0 &&
	    (error = ADD(filter, SCMP_ACT_KILL_PROCESS, killed_in_keeper)) == 0)
		error = add_threads(filter, SCMP_ACT_ALLOW, SCMP_ACT_KILL_PROCESS);
	return error;
}

static kmn_err
filter_calls(enum kmn_role role, char *why)
{
	scmp_filter_ctx filter = seccomp_init(role == KMN_ROLE_WORKER ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
	int error = filter == NULL ? -ENOMEM : 0;

	/* A call by another architecture's door (int 0x80, x32) ends the process: bad-arch is KILL by default. */
	if (error == 0 && (error = fill_filter(filter, role)) == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	if (error == 0)
		return KMN_OK;
	snprintf(why, KMN_SETTINGS_WHY_BYTES, "seccomp filter: %s", strerror(-error));
	return KMN_E_CONFIG;
}

/* ---- Landlock: which files ------------------------------------------------------------------------------------------ */

#define ALL_OF_FILES \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | \
	    LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
	    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
	    LANDLOCK_ACCESS_FS_MAKE_SYM)
#define LEDGER_FILES \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)

/* What the resolver and libcurl's trust in https look at. A file that is replaced later is seen by the next courier. */
static const char *const courier_reads[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf",
    "/etc/gai.conf", "/etc/services", "/etc/ssl/certs", "/usr/share/ca-certificates", "/run/systemd/resolve"};

static bool
let_read(int rules, const char *path)
{
	struct landlock_path_beneath_attr one = {
	    .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
	bool done;

	if (one.parent_fd < 0)
		return errno == ENOENT;
	done = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &one, 0) == 0;
	(void)close(one.parent_fd);
	return done;
}

static bool
let_courier_read(int rules)
{
	for (size_t i = 0; i < KMN_COUNT_OF(courier_reads); i++)
		if (!let_read(rules, courier_reads[i]))
			return false;
	return true;
}

/*
 * No file at all; a keeper's, only those beneath `ledger`; a courier's, only
 * what its table says. The filter above cannot tell paths apart. A kernel
 * without Landlock is one that is told of, not one that stops service: users
 * and the filter stand on their own.
 */
static kmn_err
bound_files(enum kmn_role role, int ledger, char *why)
{
	struct landlock_ruleset_attr all = {.handled_access_fs = ALL_OF_FILES};
	struct landlock_path_beneath_attr beneath = {.allowed_access = LEDGER_FILES, .parent_fd = ledger};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	bool done;

	if (rules < 0) {
		kmn_say(KMN_SAY_WARNING, "this kernel has no Landlock: %s", strerror(errno));
		return KMN_OK;
	}
	done = (ledger < 0 || syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0) &&
	       (role != KMN_ROLE_COURIER || let_courier_read(rules)) &&
	       syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	if (!done)
		snprintf(why, KMN_SETTINGS_WHY_BYTES, "Landlock: %s", strerror(errno));
	(void)close(rules);
	return done ? KMN_OK : KMN_E_CONFIG;
}

/* ---- user, limits, the rest -------------------------------------------------------------------------------------- */

static bool
drop_user(const struct kmn_confine *c)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (!c->drop)
		return true;
	/* Asked again afterwards: a set-id call that half succeeds is the one that hurts. */
	return setgroups(0, NULL) == 0 && setresgid(c->gid, c->gid, c->gid) == 0 &&
	       setresuid(c->uid, c->uid, c->uid) == 0 && getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 &&
	       r == c->uid && e == c->uid && s == c->uid && rg == c->gid && eg == c->gid && sg == c->gid;
}

static bool
drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	/* The bounding set can be lowered only with CAP_SETPCAP; without it no_new_privs bounds as well. */
	if (capng_apply(CAPNG_SELECT_BOTH) != 0)
		return capng_apply(CAPNG_SELECT_CAPS) == 0;
	return true;
}

static void
lower_bounding_set(void)
{
	capng_get_caps_process();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0) {
		capng_clear(CAPNG_SELECT_BOUNDS);
		(void)capng_apply(CAPNG_SELECT_BOUNDS);
	}
}

/* Locked memory for sodium_malloc: as much as the hard limit lets us; root may raise that too. */
static void
raise_locked_memory(void)
{
	struct rlimit wish = {64u << 20, 64u << 20}, now;

	if (setrlimit(RLIMIT_MEMLOCK, &wish) == 0 || getrlimit(RLIMIT_MEMLOCK, &now) != 0)
		return;
	now.rlim_cur = now.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &now);
}

static bool
bound_descriptors(uint32_t files)
{
	struct rlimit now, wish = {files, files};

	if (setrlimit(RLIMIT_NOFILE, &wish) == 0)
		return true;
	if (getrlimit(RLIMIT_NOFILE, &now) != 0)
		return false;
	kmn_say(KMN_SAY_WARNING, "open files: %u wanted, %lu possible", files, (unsigned long)now.rlim_max);
	now.rlim_cur = now.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &now) == 0;
}

kmn_err
kmn_confine_memory(void)
{
	static const struct rlimit none = {0, 0};

	return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0 ? KMN_OK : KMN_E_INTERNAL;
}

/* The signal of the parent's end is lost at a change of user, so it is asked for afterwards; and it may be too late. */
static bool
die_with_parent(pid_t parent)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

static kmn_err
failed(const char *what, char *why)
{
	snprintf(why, KMN_SETTINGS_WHY_BYTES, "%s: %s", what, strerror(errno));
	return KMN_E_CONFIG;
}

kmn_err
kmn_confine(const struct kmn_confine *c, char *why_out)
{
	kmn_err e;

	why_out[0] = '\0';
	tzset(); /* libc reads the zone's file at its first look at a clock, which must not be later */
	raise_locked_memory();
	lower_bounding_set();
	if (!bound_descriptors(c->files))
		return failed("RLIMIT_NOFILE", why_out);
	if (!drop_user(c))
		return failed("user and group", why_out);
	if (!drop_capabilities())
		return failed("capabilities", why_out);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failed("no_new_privs", why_out);
	if (kmn_confine_memory() != KMN_OK)
		return failed("core dumps", why_out);
	if (!die_with_parent(c->parent))
		return failed("the supervisor is gone", why_out);
	if (!kmn_confine_can_filter() || c->how == KMN_CONFINEMENT_NO_SECCOMP) {
		kmn_say(KMN_SAY_WARNING, "no filter of system calls: %s",
		    kmn_confine_can_filter() ? "the configuration says so" : "this is a sanitizer's build");
		return KMN_OK;
	}
	if (c->role != KMN_ROLE_WORKER && (e = bound_files(c->role, c->ledger, why_out)) != KMN_OK)
		return e;
	return filter_calls(c->role, why_out);
}
