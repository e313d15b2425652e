/* tests/unit/cache_folder.h - a home in a temporary folder, and a cache on files in it. */
#ifndef UNIT_CACHE_FOLDER_H
#define UNIT_CACHE_FOLDER_H

#include "store/cache.h"
#include "store/home.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char home[64];

static inline void empty_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[HOME_PATH_MAX];

	while (d && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			home_path(folder, entry->d_name, path, NULL) == ERR_OK && unlink(path) != 0)
			empty_folder(path);
	if (d)
		closedir(d);
	rmdir(folder);
}

static inline bool make_home(void)
{
	strcpy(home, "/tmp/tollgate-unit-XXXXXX");
	return mkdtemp(home) != NULL;
}

/* Where the engine has its files. */
static inline void cache_folder(enum cache_engine engine, char out[HOME_PATH_MAX])
{
	struct stat st;

	snprintf(out, HOME_PATH_MAX, "%s/cache", home);
	if (engine == CACHE_MEMORY && stat(home, &st) == 0)
		snprintf(out, HOME_PATH_MAX, "/dev/shm/tollgate-%u-%" PRIx64 "-%" PRIx64 ".cache",
			(unsigned)st.st_uid, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
}

static inline void drop_home(void)
{
	char folder[HOME_PATH_MAX];

	cache_folder(CACHE_MEMORY, folder);
	empty_folder(folder);
	empty_folder(home);
}

#endif
