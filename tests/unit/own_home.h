/* tests/unit/own_home.h - a GATEWAY_HOME that is not there yet, in a temporary folder that has room
 * for a log. */
#ifndef UNIT_OWN_HOME_H
#define UNIT_OWN_HOME_H

#include "base/log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char top[32], home[64], log_path[64];

/* A path in the home; four at a time. */
static inline const char *in_home(const char *name)
{
	static char path[4][384];
	static int next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", home, name);
	return path[next];
}

static inline void remove_home(void)
{
	DIR *d = opendir(home);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			unlink(in_home(entry->d_name));
	if (d)
		closedir(d);
	rmdir(home);
}

static inline int make_top(void **state)
{
	(void)state;
	strcpy(top, "/tmp/tollgate-unit-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(home, sizeof(home), "%s/home", top);
	snprintf(log_path, sizeof(log_path), "%s/log", top);
	return 0;
}

static inline int make_top_with_log(void **state)
{
	return make_top(state) ? -1 : (int)log_open(log_path, "test", NULL);
}

/* -1: something is left that does not belong there. */
static inline int drop_top(void **state)
{
	(void)state;
	remove_home();
	unlink(log_path);
	return rmdir(top);
}

#endif
