#include "store/flights_table.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "store/fault.h"
#include "store/lease.h"
#include "store/memory_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAGIC        UINT64_C(0x31544C46454C4C54)
#define ABI          UINT32_C(1)
#define OPEN_WAIT_MS 2000
#define BORN_BITS    42 /* of an owner; the rest is the process id, which has 22 on Linux */
#define BORN_MASK    ((UINT64_C(1) << BORN_BITS) - 1)
#define SPINS        100
#define YIELDS       200
#define NAP_US       100
#define NAPS         5000 /* then it is gone without */
#define NAPS_A_LOOK  20   /* between two looks whether who has the lock lives */
#define OWNERS       64   /* remembered during one sweep; more are asked again */
#define UNBEGUN_S    60   /* a file without a head that old is nobody's */

/* ---- owners ---- */

static uint64_t owner_of(uint64_t pid)
{
	uint64_t born = lease_owner_born(pid);

	return born ? pid << BORN_BITS | (born & BORN_MASK) : 0;
}

bool flight_owner_lives(const struct flight_map *m, uint64_t owner)
{
	uint64_t now;

	if (owner == m->me || !owner)
		return owner != 0;
	errno = 0;
	now = owner_of(owner >> BORN_BITS);
	/* Who cannot look takes nobody for dead. */
	return now ? now == owner : errno == EMFILE || errno == ENFILE || errno == ENOMEM;
}

/* ---- waiting ---- */

void flight_wake(struct flight_slot *s)
{
	atomic_fetch_add(&s->news, 1);
	syscall(SYS_futex, &s->news, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void flight_wait(struct flight_slot *s, uint32_t seen, int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	syscall(SYS_futex, &s->news, FUTEX_WAIT, seen, &t, NULL, 0);
}

/* ---- the lock of a bucket ---- */

bool flight_lock(const struct flight_map *m, unsigned bucket)
{
	_Atomic uint64_t *lock = &m->table->buckets[bucket].lock;
	const struct timespec nap = { .tv_nsec = NAP_US * 1000 };

	for (unsigned tries = 0; tries < SPINS + YIELDS + NAPS; tries++) {
		uint64_t holder = 0;

		if (atomic_compare_exchange_weak(lock, &holder, m->me))
			return true;
		if (tries < SPINS)
			continue;
		if (tries < SPINS + YIELDS) {
			(void)sched_yield();
			continue;
		}
		(void)nanosleep(&nap, NULL);
		if (holder && tries % NAPS_A_LOOK == 0 && !flight_owner_lives(m, holder) &&
			atomic_compare_exchange_strong(lock, &holder, m->me))
			return true;
	}
	return false;
}

void flight_unlock(const struct flight_map *m, unsigned bucket)
{
	atomic_store_explicit(&m->table->buckets[bucket].lock, 0, memory_order_release);
}

/* ---- ending what others began ---- */

void flight_file_path(const struct flight_map *m, struct flight_place p, char out[FLIGHT_PATH_MAX])
{
	(void)snprintf(out, FLIGHT_PATH_MAX, "%s.%016" PRIx64 ".%u-%" PRIu32, m->path,
		m->table->head.id, p.bucket * FLIGHT_WAYS + p.way, p.generation);
}

static bool is_life(uint64_t word, uint32_t generation)
{
	return flight_generation(word) == generation && flight_state(word) != FLIGHT_FREE;
}

bool flight_free_slot(const struct flight_map *m, struct flight_place p)
{
	_Atomic uint64_t *at = flight_word_of(m, p);
	uint64_t word = atomic_load(at);
	char path[FLIGHT_PATH_MAX];

	do {
		if (!is_life(word, p.generation))
			return false;
	} while (!atomic_compare_exchange_weak(
		at, &word, flight_word(p.generation, FLIGHT_FREE, 0)));
	(void)fault_at("flights.freed");
	flight_file_path(m, p, path);
	unlink(path);
	flight_wake(flight_slot(m, p));
	return true;
}

/* Owners that were asked about during one look around. */
struct asked {
	uint64_t owners[OWNERS];
	bool lives[OWNERS];
	size_t n;
};

static bool lives(const struct flight_map *m, struct asked *a, uint64_t owner)
{
	bool yes;

	for (size_t i = 0; i < a->n; i++)
		if (a->owners[i] == owner)
			return a->lives[i];
	yes = flight_owner_lives(m, owner);
	if (a->n < OWNERS) {
		a->owners[a->n] = owner;
		a->lives[a->n++] = yes;
	}
	return yes;
}

/* The owner of this life, 0 when it is over: owners change with generations only. */
static uint64_t owner_in(const struct flight_map *m, struct flight_place p)
{
	uint64_t owner = atomic_load(&flight_slot(m, p)->owner);
	uint64_t word = atomic_load(flight_word_of(m, p));

	return is_life(word, p.generation) ? owner : 0;
}

bool flight_bury(const struct flight_map *m, struct flight_place p, int64_t mono_ms)
{
	struct flight_slot *s = flight_slot(m, p);
	uint64_t word = atomic_load(flight_word_of(m, p)), owner;
	int64_t ago_ms = mono_ms - atomic_load(&s->seen_ms);

	if (!is_life(word, p.generation))
		return true;
	if (flight_state(word) == FLIGHT_DONE || (ago_ms >= 0 && ago_ms < FLIGHT_LOOK_MS))
		return false;
	owner = owner_in(m, p);
	if (owner && flight_owner_lives(m, owner)) {
		atomic_store(&s->seen_ms, mono_ms);
		return false;
	}
	(void)flight_free_slot(m, p);
	return true;
}

static bool is_over(const struct flight_map *m, struct flight_place p, uint64_t word,
	struct asked *a, int64_t mono_ms)
{
	int64_t ago_ms = mono_ms - atomic_load(&flight_slot(m, p)->ended_ms);
	uint64_t owner;

	switch (flight_state(word)) {
	case FLIGHT_FREE:
		return false;
	case FLIGHT_FLYING:
	case FLIGHT_CLOSED:
		owner = owner_in(m, p);
		return owner && !lives(m, a, owner);
	case FLIGHT_DONE:
		return ago_ms < 0 || ago_ms > FLIGHT_KEEP_MS;
	}
	return true; /* damaged */
}

bool flight_sweep(const struct flight_map *m, int64_t mono_ms)
{
	struct asked asked = { .n = 0 };
	bool any = false;

	for (unsigned b = 0; b < FLIGHT_BUCKETS; b++)
		for (unsigned w = 0; w < FLIGHT_WAYS; w++) {
			struct flight_place p = { .bucket = b, .way = w };
			uint64_t word = atomic_load(flight_word_of(m, p));

			p.generation = flight_generation(word);
			if (is_over(m, p, word, &asked, mono_ms))
				any |= flight_free_slot(m, p);
		}
	return any;
}

/* ---- files that nobody knows any more ---- */

/* Of a table that is no more: does who wrote it live? */
static bool is_left(const struct flight_map *m, int folder, const char *name)
{
	struct flight_file_head head;
	struct stat st;
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool left = false;

	if (fd < 0)
		return false;
	if (read(fd, &head, sizeof(head)) == (ssize_t)sizeof(head))
		left = !flight_owner_lives(m, head.owner);
	else
		left = fstat(fd, &st) == 0 &&
		       clock_wall_ms() / 1000 - (int64_t)st.st_mtime > UNBEGUN_S;
	close(fd);
	return left;
}

/* Reads a number up to the byte that ends it, and passes that. */
static bool take_number(const char **at, int base, char until, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(*at, &end, base);
	if (end == *at || errno || *end != until)
		return false;
	*at = *end ? end + 1 : end;
	return true;
}

/* rest: of the name, as flight_file_path() ends it. */
static bool is_nobodys(const struct flight_map *m, int folder, const char *name, const char *rest)
{
	uint64_t id, slot, generation, word;
	struct flight_place p;

	if (!take_number(&rest, 16, '.', &id) || !take_number(&rest, 10, '-', &slot) ||
		!take_number(&rest, 10, '\0', &generation) ||
		slot >= FLIGHT_BUCKETS * FLIGHT_WAYS || generation > UINT32_MAX)
		return false;
	if (id != m->table->head.id)
		return is_left(m, folder, name);
	p = (struct flight_place){ (unsigned)slot / FLIGHT_WAYS, (unsigned)slot % FLIGHT_WAYS,
		(uint32_t)generation };
	word = atomic_load(flight_word_of(m, p));
	return !is_life(word, p.generation);
}

static void remove_files(const struct flight_map *m)
{
	const char *base = strrchr(m->path, '/') + 1;
	char path[HOME_PATH_MAX];
	size_t n = strlen(base);
	struct dirent *entry;
	DIR *d;

	(void)!slice_copy((struct slice){ m->path, (size_t)(base - m->path) }, path, sizeof(path));
	d = opendir(path);
	while (d && (entry = readdir(d)))
		if (strncmp(entry->d_name, base, n) == 0 && entry->d_name[n] == '.' &&
			is_nobodys(m, dirfd(d), entry->d_name, entry->d_name + n + 1))
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
}

/* ---- making and mapping ---- */

static struct flight_table_head head_of(const struct stat *home)
{
	struct flight_table_head h = { .magic = MAGIC,
		.abi = ABI,
		.bytes = sizeof(struct flight_table),
		.pid_namespace = memory_pid_namespace(),
		.home = { (uint64_t)home->st_dev, (uint64_t)home->st_ino } };

	memory_boot(h.boot);
	return h;
}

static bool is_table(const struct flight_table *t, const struct stat *home)
{
	struct flight_table_head like = head_of(home), is = t->head;

	like.id = is.id;
	return is.id && memcmp(&is, &like, sizeof(is)) == 0;
}

static enum err_code map(struct flight_map *m, int fd, struct err *e)
{
	void *p = mmap(NULL, sizeof(*m->table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return err_set(e, ERR_STORE, "%s: cannot be mapped: %s", m->path, strerror(errno));
	m->table = p;
	return ERR_OK;
}

static void unmap(struct flight_map *m)
{
	if (m->table)
		munmap(m->table, sizeof(*m->table));
	m->table = NULL;
}

/* The table that is there, when it is one; else m->table stays NULL. */
static enum err_code take(struct flight_map *m, const struct stat *home, struct err *e)
{
	int fd = open(m->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum err_code rc = ERR_OK;
	struct stat st;

	if (fd < 0)
		return ERR_OK;
	if (fstat(fd, &st) == 0 && !home_check_file(m->path, &st, NULL) && st.st_nlink == 1 &&
		st.st_size == (off_t)sizeof(*m->table))
		rc = map(m, fd, e);
	close(fd);
	if (m->table && !is_table(m->table, home))
		unmap(m);
	return rc;
}

/* Always a new file, so that who has the old one mapped is not disturbed. */
static enum err_code make(struct flight_map *m, const struct stat *home, struct err *e)
{
	struct flight_table_head head;
	enum err_code rc;
	int fd, wrong;

	if (unlink(m->path) != 0 && errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: cannot be removed: %s", m->path, strerror(errno));
	fd = open(m->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", m->path, strerror(errno));
	rc = home_give(fd, m->home, e);
	wrong = fault_at("flights.allocate");
	if (!wrong)
		wrong = posix_fallocate(fd, 0, (off_t)sizeof(*m->table));
	if (!rc && wrong)
		rc = err_set(e, ERR_STORE, "%s: no room for a table of %zu KB: %s", m->path,
			sizeof(*m->table) >> 10, strerror(wrong));
	if (!rc)
		rc = map(m, fd, e);
	close(fd);
	if (rc) {
		unlink(m->path);
		return rc;
	}
	head = head_of(home);
	crypto_random(&head.id, sizeof(head.id));
	head.id |= 1;
	(void)fault_at("flights.made");
	m->table->head = head; /* under the lock: nobody looks before */
	return ERR_OK;
}

enum err_code flight_map_open(struct flight_map *m, const char *home, struct err *e)
{
	struct stat st;
	enum err_code rc;
	int lock;

	*m = (struct flight_map){ .me = owner_of((uint64_t)getpid()), .home = home };
	if (!m->me)
		return err_set(e, ERR_STORE, "/proc/%ld/stat cannot be read", (long)getpid());
	if (stat(home, &st) != 0)
		return err_set(e, ERR_STORE, "%s: %s", home, strerror(errno));
	rc = memory_place(home, ".flights", "flights.shm", m->path, e);
	if (!rc)
		rc = home_lock(home, "flights.lock", OPEN_WAIT_MS, &lock, e);
	if (rc)
		return rc;
	rc = take(m, &st, e);
	if (!rc && !m->table)
		rc = make(m, &st, e);
	close(lock);
	if (rc) {
		flight_map_close(m);
		return rc;
	}
	(void)flight_sweep(m, clock_mono_ms());
	remove_files(m);
	return ERR_OK;
}

void flight_map_close(struct flight_map *m)
{
	unmap(m);
	*m = (struct flight_map){ .me = 0 };
}
