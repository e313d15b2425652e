/* tests/unit/cli_run.h - runs a command of tollgate, as its program would, and reads what it
 * prints.
 *
 * The settings are those of the environment at that time. */
#ifndef UNIT_CLI_RUN_H
#define UNIT_CLI_RUN_H

#include "gateway/books.h"
#include "handlers/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static char out[65536]; /* what the last command printed, both streams */

/* A command's words, the last one NULL, and what it reads; returns its exit code. */
static inline int run_with(int (*command)(const struct conf *, int, char **), const char *input,
	const char *const *words)
{
	int saved[3] = { dup(0), dup(1), dup(2) }, code, argc = 0;
	int in = memfd_create("in", MFD_CLOEXEC), printed = memfd_create("out", MFD_CLOEXEC);
	struct conf *c;
	struct err e;
	ssize_t n;

	while (words[argc])
		argc++;
	assert_true(in >= 0 && printed >= 0);
	assert_int_equal(pwrite(in, input, strlen(input), 0), strlen(input));
	assert_int_equal(conf_load(&c, &e), ERR_OK);
	fflush(NULL);
	dup2(in, 0);
	dup2(printed, 1);
	dup2(printed, 2);
	code = command(c, argc, (char **)(uintptr_t)words);
	books_close_redis(); /* as the end of a program does */
	fflush(NULL);
	for (int i = 0; i < 3; i++) {
		dup2(saved[i], i);
		close(saved[i]);
	}
	n = pread(printed, out, sizeof(out) - 1, 0);
	out[n > 0 ? n : 0] = '\0';
	close(in);
	close(printed);
	conf_fini(c);
	return code;
}

static inline int run(int (*command)(const struct conf *, int, char **), const char *const *words)
{
	return run_with(command, "", words);
}

static inline void has(const char *text)
{
	if (!strstr(out, text))
		fail_msg("\"%s\" is missing in:\n%s", text, out);
}

static inline void has_not(const char *text)
{
	if (strstr(out, text))
		fail_msg("\"%s\" is in:\n%s", text, out);
}

#endif
