/* tests/storm/witness.h - reads the journal behind the store's back, and counts.
 *
 * Before a fold removes a segment it is linked into a folder of the storm's own; what was read
 * there is removed, so a long storm does not fill the disk. Included by one program, so the
 * functions are here.
 */
#ifndef STORM_WITNESS_H
#define STORM_WITNESS_H

#include "store/account.h"
#include "store/tally.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The second word of ids: which kind of entry it is. */
#define WITNESS_SETTLE UINT64_C(1)
#define WITNESS_CREDIT UINT64_C(2)
#define WITNESS_CHECK  UINT64_C(3)

#define WITNESS_LANES    8
#define WITNESS_PER_LANE ((size_t)1 << 26)
#define WITNESS_CREDITS  ((size_t)1 << 20)

struct witness_sum {
	int64_t cost;
	int64_t requests;
	int64_t credited;
};

struct witness {
	uint8_t *seen[WITNESS_LANES]; /* how often each settle stands in the journal */
	uint8_t *credits;             /* the same for credits */
	struct tally sums;            /* subject -> struct witness_sum */
	uint64_t settles, credits_n, torn, next_segment;
};

static void *witness_bytes(size_t n, int flags)
{
	void *p =
		mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static void witness_init(struct witness *w, const char *folder)
{
	for (int i = 0; i < WITNESS_LANES; i++)
		w->seen[i] = witness_bytes(WITNESS_PER_LANE, MAP_PRIVATE);
	w->credits = witness_bytes(WITNESS_CREDITS, MAP_PRIVATE);
	w->next_segment = 1;
	tally_init(&w->sums, sizeof(uint64_t), sizeof(struct witness_sum));
	mkdir(folder, 0700);
}

static void witness_path(const char *folder, uint64_t segment, char out[256])
{
	snprintf(out, 256, "%s/journal.%08" PRIu64, folder, segment);
}

/* Links the segments of home into folder. Called by a process that is about to remove some. */
static void witness_link(const char *home, const char *folder)
{
	DIR *d = opendir(home);
	struct dirent *entry;
	char from[512], to[512];

	while (d && (entry = readdir(d))) {
		if (strncmp(entry->d_name, "journal.", 8) != 0)
			continue;
		snprintf(from, sizeof(from), "%s/%s", home, entry->d_name);
		snprintf(to, sizeof(to), "%s/%s", folder, entry->d_name);
		(void)!link(from, to);
	}
	if (d)
		closedir(d);
}

static void witness_count(struct witness *w, const struct record *r)
{
	uint64_t targets[ACCOUNT_TARGETS], payer;
	unsigned n = account_targets(r, targets, &payer);
	uint64_t number = r->id[0] & UINT64_C(0xFFFFFFFFFFFF);

	for (unsigned i = 0; i < n; i++) {
		bool fresh;
		struct witness_sum *sum = tally_at(&w->sums, &targets[i], &fresh);

		if (!sum)
			exit(1);
		sum->requests += r->type == RECORD_SETTLE;
		sum->cost += r->type == RECORD_SETTLE ? r->settle.cost_microusd : 0;
		sum->credited += r->type == RECORD_CREDIT ? r->credit.microusd : 0;
	}
	w->settles += r->type == RECORD_SETTLE;
	w->credits_n += r->type == RECORD_CREDIT;
	if (r->id[1] == WITNESS_SETTLE && number < WITNESS_PER_LANE)
		w->seen[(r->id[0] >> 48) - 1][number]++;
	if (r->id[1] == WITNESS_CREDIT && number < WITNESS_CREDITS)
		w->credits[number]++;
}

static bool witness_segment(struct witness *w, const char *path)
{
	struct record records[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, records, sizeof(records))) > 0) {
		w->torn += n % RECORD_BYTES != 0;
		for (ssize_t i = 0; i < n / RECORD_BYTES; i++) {
			if (record_is_whole(&records[i]))
				witness_count(w, &records[i]);
			else
				w->torn++;
		}
	}
	close(fd);
	return true;
}

/* Counts, in order, the segments that home has no more; with last, all. */
static void witness_read(struct witness *w, const char *home, const char *folder, bool last)
{
	char path[256], own[256];

	for (;; w->next_segment++) {
		witness_path(home, w->next_segment, own);
		witness_path(folder, w->next_segment, path);
		if (!last && access(own, F_OK) == 0)
			return;
		if (!witness_segment(w, access(path, F_OK) == 0 ? path : own))
			return;
		unlink(path);
	}
}

static void witness_empty(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[512];

	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(folder);
}

static void witness_fini(struct witness *w, const char *home, const char *folder)
{
	tally_fini(&w->sums);
	witness_empty(home);
	witness_empty(folder);
}

#endif
