#include "config.h"

#include "server/kanmond.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/say.h"
#include "server/supervisor.h"

#define EXIT_USAGE 2

struct asked {
	const char *config, *pidfile, *role, *recovery;
	int fd, ready_fd;
	bool check;
};

static const char help[] =
    "Usage: kanmond --config FILE [--check] [--pidfile FILE] [--ready-fd N] [--recovery FILE]\n"
    "The gateway in front of an HSM: takes calls of kanmon's PKCS#11 provider, decides, runs and records them.\n"
    "\n"
    "  --config FILE    the configuration, see kanmond.conf(5)\n"
    "  --check          read it and every file that it names, print all that is in force, and end\n"
    "  --pidfile FILE   write the process id there while the service runs\n"
    "  --ready-fd N     write \"ready\" to this descriptor when the gateway serves (NOTIFY_SOCKET is told too)\n"
    "  --recovery FILE  a note that lets the ledger go on though a guard has a later head (kanmon ledger recover)\n"
    "  --version        print the version\n"
    "\n"
    "It stays in the foreground. SIGTERM ends it in order. Exit status: 0 ended as told, 1 service failed,\n"
    "2 the command line or the configuration is wrong.\n";

/* ---- a role's process -------------------------------------------------------------------------------------------- */

static int
run_role(const struct asked *asked)
{
	const struct kmn_handover *h;
	char why[KMN_SETTINGS_WHY_BYTES];
	kmn_err e;

	if ((e = kmn_handover_receive(asked->fd, &h)) != KMN_OK || h->role >= KMN_ROLE_COUNT ||
	    strcmp(kmn_role_name(h->role), asked->role) != 0) {
		kmn_say(KMN_SAY_ERROR, "--role is the supervisor's to use: %s", kmn_err_text(e));
		return EXIT_USAGE;
	}
	kmn_say_init(kmn_role_name(h->role), STDERR_FILENO, h->log_level);
	if (h->role == KMN_ROLE_COURIER && !kmn_courier_prepare())
		return EXIT_FAILURE;
	if (h->role == KMN_ROLE_CONSOLE && !kmn_console_prepare(&h->console))
		return EXIT_FAILURE;
	if (kmn_confine(&h->confine, why) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "not confined, so not started: %s", why);
		return EXIT_FAILURE;
	}
	switch (h->role) {
	case KMN_ROLE_GATE:
		return kmn_gate_main(&h->gate);
	case KMN_ROLE_KEEPER:
		return kmn_keeper_main(&h->keeper);
	case KMN_ROLE_COURIER:
		return kmn_courier_main(&h->courier);
	case KMN_ROLE_CONSOLE:
		return kmn_console_main(&h->console);
	case KMN_ROLE_RUNNER:
		return kmn_runner_main(&h->runner);
	default:
		return kmn_worker_main(&h->worker);
	}
}

/* ---- the supervisor's process ------------------------------------------------------------------------------------ */

/* The settings' check has seen the form already: numeric address, colon, port. */
static int
bind_listener(const char *where)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};
	const char *colon = strrchr(where, ':');
	bool v6 = where[0] == '[';
	char address[INET6_ADDRSTRLEN + 2] = "";
	const int on = 1;
	int fd;

	memcpy(address, where + v6, (size_t)(colon - where) - (v6 ? 2 : 0));
	four.sin_port = six.sin6_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(v6 ? AF_INET6 : AF_INET, address, v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr) != 1)
		KMN_BUG("a listen address passed its check and is none");
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (!v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
	    bind(fd, v6 ? (const void *)&six : (const void *)&four, v6 ? sizeof(six) : sizeof(four)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static bool
bind_listeners(const struct kmn_settings *settings, int fds[KMN_LISTEN_MAX])
{
	for (unsigned i = 0; i < settings->listen.count; i++) {
		if ((fds[i] = bind_listener(settings->listen.at[i])) < 0) {
			kmn_say(KMN_SAY_ERROR, "listen %s: %s", settings->listen.at[i], strerror(errno));
			return false;
		}
	}
	return true;
}

/* True where there is no console, too. */
static bool
open_console(const struct kmn_settings *settings, struct kmn_supervisor_options *options)
{
	const struct kmn_console_settings *c = &settings->console;

	if (c->listen == NULL)
		return true;
	if ((options->console = bind_listener(c->listen)) < 0)
		kmn_say(KMN_SAY_ERROR, "console listen %s: %s", c->listen, strerror(errno));
	else if ((options->pages = open(c->pages, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		kmn_say(KMN_SAY_ERROR, "console pages %s: %s", c->pages, strerror(errno));
	return options->pages >= 0;
}

/* The log stands at descriptor 2 from here on, for the supervisor and for all that it starts. */
static bool
open_log(const struct kmn_settings *settings)
{
	int fd;

	if (settings->log != NULL) {
		fd = open(settings->log, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0640);
		if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
			kmn_say(KMN_SAY_ERROR, "%s: %s", settings->log, strerror(errno));
			return false;
		}
		(void)close(fd);
	}
	kmn_say_init("supervisor", STDERR_FILENO, (enum kmn_say_level)settings->log_level);
	return true;
}

/* Users can be changed by root alone, and root must not run a role. */
static bool
users_fit(const struct kmn_settings *settings)
{
	bool given = settings->users[KMN_ROLE_GATE].text != NULL;

	if (geteuid() == 0 && !given) {
		kmn_say(
		    KMN_SAY_ERROR, "%s: started by root, the roles need users of their own: users { }", settings->path);
		return false;
	}
	if (geteuid() != 0)
		kmn_say(KMN_SAY_WARNING,
		    "not started by root: all roles run as user %lu, so the keeper's ledger and keys are not closed to "
		    "the HSM's module and to the gate by their owner",
		    (unsigned long)geteuid());
	return true;
}

static bool
write_pidfile(const char *path)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool written = fd >= 0 && write(fd, text, (size_t)len) == len;

	if (!written)
		kmn_say(KMN_SAY_ERROR, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return written;
}

/* Only started by root: else the one who starts it is the keeper's user, and the keeper says what it cannot open. */
static bool
ledger_is_keepers(const struct kmn_settings *settings, int ledger)
{
	unsigned long keeper = settings->users[KMN_ROLE_KEEPER].uid;
	struct stat st;

	if (geteuid() != 0 || fstat(ledger, &st) != 0 || st.st_uid == keeper)
		return true;
	kmn_say(KMN_SAY_ERROR, "ledger %s belongs to user %lu, not to the keeper's: chown -R %lu:%lu %s",
	    settings->ledger, (unsigned long)st.st_uid, keeper, (unsigned long)settings->users[KMN_ROLE_KEEPER].gid,
	    settings->ledger);
	return false;
}

static int
serve(const struct asked *asked, const struct kmn_settings *settings, struct kmn_material *material,
    const int guards[KMN_GUARDS_MAX])
{
	int listeners[KMN_LISTEN_MAX], status;
	struct kmn_supervisor_options options = {
	    .settings = settings,
	    .material = material,
	    .listeners = listeners,
	    .listener_count = settings->listen.count,
	    .ledger = open(settings->ledger, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    .guards = guards,
	    .console = -1,
	    .pages = -1,
	    .ready_fd = asked->ready_fd,
	};

	if (options.ledger < 0) {
		kmn_say(KMN_SAY_ERROR, "ledger %s: %s", settings->ledger, strerror(errno));
		return EXIT_USAGE;
	}
	if (!users_fit(settings) || !ledger_is_keepers(settings, options.ledger) ||
	    !bind_listeners(settings, listeners) || !open_console(settings, &options))
		return EXIT_USAGE;
	if (asked->pidfile != NULL && !write_pidfile(asked->pidfile))
		return EXIT_USAGE;
	status = kmn_supervisor_run(&options);
	if (asked->pidfile != NULL)
		(void)unlink(asked->pidfile);
	return status;
}

static int
start(const struct asked *asked)
{
	char why[KMN_SETTINGS_WHY_BYTES];
	struct kmn_settings *settings = NULL;
	struct kmn_material *material = NULL;
	int guards[KMN_GUARDS_MAX], status = EXIT_USAGE;

	if (kmn_settings_load(asked->config, why, &settings) != KMN_OK ||
	    kmn_material_load(settings, why, &material) != KMN_OK ||
	    (asked->recovery != NULL && kmn_material_authorise(material, asked->recovery, why) != KMN_OK) ||
	    kmn_material_guards(settings, guards, why) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "%s", why);
		goto done;
	}
	if (asked->check) {
		kmn_settings_print(settings, stdout);
		status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	} else if (open_log(settings)) {
		status = serve(asked, settings, material, guards);
	}
done:
	kmn_material_free(material);
	kmn_settings_free(settings);
	return status;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

static bool
take_fd(const char *text, int *fd_out)
{
	char *end;
	long n = strtol(text, &end, 10);

	*fd_out = (int)n;
	return *text != '\0' && *end == '\0' && n >= 0 && n < 1024 && fcntl((int)n, F_SETFD, FD_CLOEXEC) == 0;
}

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, 'C'},
    {"pidfile", required_argument, NULL, 'p'},
    {"ready-fd", required_argument, NULL, 'r'},
    {"recovery", required_argument, NULL, 'a'},
    {"role", required_argument, NULL, 'R'},
    {"fd", required_argument, NULL, 'f'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* -1: go on; otherwise the exit status. */
static int
parse(int argc, char **argv, struct asked *asked)
{
	bool right = true;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			asked->config = optarg;
			break;
		case 'C':
			asked->check = true;
			break;
		case 'p':
			asked->pidfile = optarg;
			break;
		case 'r':
			right = right && take_fd(optarg, &asked->ready_fd);
			break;
		case 'a':
			asked->recovery = optarg;
			break;
		case 'R':
			asked->role = optarg;
			break;
		case 'f':
			right = right && take_fd(optarg, &asked->fd);
			break;
		case 'V':
			puts("kanmond " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			right = false;
		}
	}
	if (right && optind == argc && (asked->role != NULL ? asked->fd >= 0 : asked->config != NULL))
		return -1;
	fputs("kanmond: --config FILE is needed; kanmond --help says more\n", stderr);
	return EXIT_USAGE;
}

/* Descriptors 0, 1 and 2 exist, so that nothing else comes to stand there; stdin is nobody's. */
static bool
take_standard_fds(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = dup(fd);
	return fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO && close(fd) == 0;
}

int
kmn_kanmond(int argc, char **argv)
{
	struct asked asked = {.fd = -1, .ready_fd = -1};
	int status;

	if ((status = parse(argc, argv, &asked)) >= 0)
		return status;
	(void)umask(0027);
	if (!take_standard_fds() || sodium_init() < 0 || kmn_confine_memory() != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "cannot start: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return asked.role != NULL ? run_role(&asked) : start(&asked);
}
