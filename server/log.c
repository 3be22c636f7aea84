#include "config.h"

#include "kanmon/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000u

static const char *const level_name[] = {"error", "warning", "info", "debug"};
static const char *say_role = "kanmond"; /* these three: set once, before there are threads */
static int say_fd = STDERR_FILENO;
static enum kmn_say_level say_most = KMN_SAY_INFO;

void
kmn_say_init(const char *role, int fd, enum kmn_say_level most)
{
	say_role = role;
	say_fd = fd;
	say_most = most;
}

/* A text from outside must not end the line or steer a terminal. */
static void
make_printable(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
}

static size_t
bounded(int wanted, size_t room)
{
	return wanted < 0 ? 0 : (size_t)wanted >= room ? room - 1 : (size_t)wanted;
}

void
kmn_say(enum kmn_say_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES + 1];
	struct timespec now = {0};
	struct tm utc = {0};
	size_t used, text;
	int saved = errno;
	va_list args;

	if (level > say_most)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	used = bounded(snprintf(line, LINE_MAX_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s[%ld] %s: ",
			   utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
			   now.tv_nsec / 1000000, say_role, (long)getpid(), level_name[level]),
	    LINE_MAX_BYTES);
	va_start(args, format);
	text = bounded(vsnprintf(line + used, LINE_MAX_BYTES - used, format, args), LINE_MAX_BYTES - used);
	va_end(args);
	make_printable(line + used, text);
	used += text;
	line[used++] = '\n';
	/* One write, so that lines of several processes do not mix; a line that cannot be written is lost. */
	if (write(say_fd, line, used) < 0)
		errno = 0;
	errno = saved;
}
