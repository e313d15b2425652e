#include "store/hot.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "store/fault.h"
#include "store/health.h"
#include "store/mutex.h"
#include "store/memory_place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC      UINT64_C(0x31544F4845544154)
#define HEAD_BYTES 8192
#define STEP_MS    2
#define GRACE_MS   1000

_Static_assert(sizeof(struct hot_head) <= HEAD_BYTES, "the head has its own pages");

static size_t table_bytes(const struct hot_head *head)
{
	return HEAD_BYTES + sizeof(struct account) * head->accounts +
	       sizeof(struct meter) * head->meters + sizeof(struct lease) * head->leases +
	       sizeof(struct hot_recent) * head->recent + health_bytes();
}

static void place_tables(struct hot *h)
{
	char *p = (char *)h->head + HEAD_BYTES;

	h->accounts = (void *)p;
	h->meters = (void *)(p += sizeof(struct account) * h->head->accounts);
	h->leases = (void *)(p += sizeof(struct meter) * h->head->meters);
	h->recent = (void *)(p += sizeof(struct lease) * h->head->leases);
	/* Every table before has a power of two of entries, and far more than 64 of them. */
	h->health = (void *)(p + sizeof(struct hot_recent) * h->head->recent);
}

/* ---- HOME/state.lock: who is attached, and to which file ---- */

static enum err_code open_state(struct hot *h, const char *home, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc = home_path(home, "state.lock", path, e);

	if (rc)
		return rc;
	h->state_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (h->state_fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	return home_give(h->state_fd, home, e);
}

static int identity(const struct stat *st, char *out, size_t size)
{
	return snprintf(out, size, "hot table %020" PRIu64 " %020" PRIu64 "\n",
		(uint64_t)st->st_dev, (uint64_t)st->st_ino);
}

static bool is_identity(const struct hot *h, const struct stat *st)
{
	char is[128] = "", should[128];
	ssize_t n = pread(h->state_fd, is, sizeof(is) - 1, 0);

	identity(st, should, sizeof(should));
	return n > 0 && strcmp(is, should) == 0;
}

/* Mostly it stands there already. Of one length always: truncating a file and writing it anew
 * makes ext4 write it out when it is closed, which costs a start 1.5 ms. */
static bool write_identity(const struct hot *h, const struct stat *st)
{
	char text[128];
	int n = identity(st, text, sizeof(text));

	return is_identity(h, st) || pwrite(h->state_fd, text, (size_t)n, 0) == n;
}

/* ---- the file ---- */

static enum err_code check_owner(
	const char *home, const char *path, const struct stat *st, struct err *e)
{
	struct stat folder;

	if (stat(home, &folder) == 0 && st->st_uid != folder.st_uid && st->st_uid != geteuid())
		return err_set(e, ERR_STORE,
			"%s belongs to user %u, not to the owner of %s; remove it (as root)", path,
			(unsigned)st->st_uid, home);
	return home_check_file(path, st, e);
}

static enum err_code map(struct hot *h, int fd, size_t bytes, struct err *e)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return err_set(e, ERR_STORE, "%s: cannot be mapped: %s", h->path, strerror(errno));
	h->head = p;
	h->bytes = bytes;
	return ERR_OK;
}

static void unmap(struct hot *h)
{
	if (h->head)
		munmap(h->head, h->bytes);
	h->head = NULL;
	h->bytes = 0;
}

static bool is_power_of_two(uint32_t n)
{
	return n && (n & (n - 1)) == 0;
}

/* Is what is mapped a table of this store, this boot and this program? */
static bool is_table(const struct hot *h, const uint8_t store[16])
{
	const struct hot_head *head = h->head;
	char boot[40];

	memory_boot(boot);
	return head->magic == MAGIC && head->abi == HOT_ABI &&
	       head->mutex_bytes == sizeof(pthread_mutex_t) &&
	       memcmp(head->boot, boot, sizeof(boot)) == 0 && memcmp(head->store, store, 16) == 0 &&
	       is_power_of_two(head->accounts) && is_power_of_two(head->meters) &&
	       is_power_of_two(head->leases) && is_power_of_two(head->recent) &&
	       head->leases <= HOT_LEASES && table_bytes(head) == h->bytes;
}

static enum err_code open_table(struct hot *h, const char *home, struct stat *st, struct err *e)
{
	enum err_code rc;
	int fd = open(h->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE, "%s: %s", h->path,
			strerror(errno));
	rc = fstat(fd, st) == 0 ? check_owner(home, h->path, st, e)
				: err_set(e, ERR_STORE, "%s: %s", h->path, strerror(errno));
	if (!rc && st->st_size >= HEAD_BYTES)
		rc = map(h, fd, (size_t)st->st_size, e);
	close(fd);
	return rc;
}

static enum err_code init_table(
	struct hot *h, const uint8_t store[16], uint64_t accounts, struct err *e)
{
	struct hot_head *head = h->head;
	uint32_t generation;
	int rc;

	head->abi = HOT_ABI;
	head->mutex_bytes = sizeof(pthread_mutex_t);
	head->accounts = (uint32_t)accounts;
	head->meters = HOT_METERS;
	head->leases = HOT_LEASES;
	head->recent = HOT_RECENT;
	head->pid_namespace = memory_pid_namespace();
	memcpy(head->store, store, 16);
	memory_boot(head->boot);
	head->state = HOT_BUILDING;
	place_tables(h);
	/* A lease of a lost table must not look like one of this. */
	crypto_random(&generation, sizeof(generation));
	for (uint32_t i = 0; i < head->leases; i++) {
		h->leases[i].state = (uint64_t)generation << 32;
		h->leases[i].next = i + 1 < head->leases ? i + 2 : 0;
	}
	head->lease_free = 1;
	rc = mutex_init_shared(&head->mutex);
	if (rc)
		return err_set(e, ERR_STORE, "%s: %s", h->path, strerror(rc));
	hot_barrier();
	head->magic = MAGIC;
	return ERR_OK;
}

/* Always a new file: whoever might still have the old one mapped cannot disturb. */
enum err_code hot_create(
	struct hot *h, const char *home, const uint8_t store[16], uint64_t rows, struct err *e)
{
	struct hot_head sizes = { .accounts = HOT_ACCOUNTS,
		.meters = HOT_METERS,
		.leases = HOT_LEASES,
		.recent = HOT_RECENT };
	struct stat st;
	enum err_code rc;
	int fd, wrong;

	rc = hot_self_test(e);
	if (rc)
		return rc;
	while (sizes.accounts / 2 < rows && sizes.accounts < 2 * HOT_ACCOUNTS_MAX)
		sizes.accounts *= 2;
	unmap(h);
	if (unlink(h->path) != 0 && errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: cannot be removed: %s", h->path, strerror(errno));
	fd = open(h->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", h->path, strerror(errno));
	rc = home_give(fd, home, e);
	wrong = fault_at("hot.allocate");
	if (!wrong)
		wrong = posix_fallocate(fd, 0, (off_t)table_bytes(&sizes));
	if (!rc && wrong)
		rc = err_set(e, ERR_STORE, "%s: no room for the table of %zu MB: %s", h->path,
			table_bytes(&sizes) >> 20, strerror(wrong));
	if (!rc && (fstat(fd, &st) != 0 || !write_identity(h, &st)))
		rc = err_set(e, ERR_STORE, "state.lock cannot be written: %s", strerror(errno));
	if (!rc)
		rc = map(h, fd, table_bytes(&sizes), e);
	close(fd);
	if (!rc)
		rc = init_table(h, store, sizes.accounts, e);
	if (rc)
		unlink(h->path);
	return rc;
}

/* ---- attaching ---- */

static enum err_code attach_first(
	struct hot *h, const char *home, const uint8_t store[16], struct err *e)
{
	struct stat st;
	enum err_code rc = open_table(h, home, &st, e);

	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	h->is_first = true;
	if (rc || !h->head || !is_table(h, store) || h->head->state != HOT_VALID ||
		h->head->pid_namespace != memory_pid_namespace()) {
		unmap(h);
		return ERR_OK;
	}
	place_tables(h);
	if (!write_identity(h, &st))
		return err_set(e, ERR_STORE, "state.lock cannot be written: %s", strerror(errno));
	return ERR_OK;
}

static enum err_code attach_next(
	struct hot *h, const char *home, const uint8_t store[16], struct err *e)
{
	struct stat st;
	enum err_code rc = open_table(h, home, &st, e);

	if (rc == ERR_NOT_FOUND || (!rc && !is_identity(h, &st)))
		return err_set(e, ERR_STORE,
			"%s is not the table that other processes of this store use (it was "
			"removed, "
			"or they see another /dev/shm): stop all of them, then start again",
			h->path);
	if (rc)
		return rc;
	if (!h->head || !is_table(h, store))
		return err_set(e, ERR_STORE,
			"%s is damaged or of another version of this program while others use it: "
			"stop all of them, then start again",
			h->path);
	if (h->head->pid_namespace != memory_pid_namespace())
		return err_set(e, ERR_STORE,
			"the store is in use from another PID namespace (container): run all "
			"processes of one store in one");
	place_tables(h);
	return ERR_OK;
}

static enum err_code wait_step(int64_t deadline, struct err *e)
{
	if (clock_mono_ms() >= deadline)
		return err_set(e, ERR_BUSY,
			"another process has been rebuilding the store's table for %d s",
			HOT_ATTACH_MS / 1000);
	poll(NULL, 0, STEP_MS);
	return ERR_OK;
}

static enum err_code no_flock(const char *home, struct err *e)
{
	return err_set(e, ERR_STORE,
		"%s/state.lock cannot be locked (%s): the store needs a local file system with "
		"flock",
		home, strerror(errno));
}

enum err_code hot_attach(struct hot *h, const char *home, const uint8_t store[16], struct err *e)
{
	int64_t deadline = clock_mono_ms() + HOT_ATTACH_MS;
	int64_t grace = clock_mono_ms() + GRACE_MS;
	enum err_code rc;

	*h = (struct hot){ .state_fd = -1 };
	rc = open_state(h, home, e);
	if (!rc)
		rc = memory_place(home, "", "hot.shm", h->path, e);
	while (!rc) {
		if (flock(h->state_fd, LOCK_EX | LOCK_NB) == 0) {
			rc = attach_first(h, home, store, e);
			break;
		}
		if (flock(h->state_fd, LOCK_SH | LOCK_NB) == 0) {
			rc = attach_next(h, home, store, e);
			if (!rc && h->head->state == HOT_VALID)
				break;
			/* A builder may have died, and who is alone will be first next time. Only
			 * when others keep it from that is what was found an error. */
			if (rc && clock_mono_ms() >= grace)
				break;
			unmap(h);
			flock(h->state_fd, LOCK_UN);
		} else if (errno != EWOULDBLOCK && errno != EINTR) {
			rc = no_flock(home, e);
			break;
		}
		rc = wait_step(deadline, e);
	}
	if (rc)
		hot_detach(h);
	return rc;
}

/* Sharing a lock that was held alone is not one step: another may get in between, finds a valid
 * table, and shares it too. */
enum err_code hot_publish(struct hot *h, struct err *e)
{
	int64_t deadline = clock_mono_ms() + HOT_ATTACH_MS;
	enum err_code rc = ERR_OK;
	struct stat st;

	hot_barrier();
	(void)fault_at("hot.publish");
	h->head->state = HOT_VALID;
	while (h->is_first && !rc && flock(h->state_fd, LOCK_SH | LOCK_NB) != 0)
		rc = wait_step(deadline, e);
	if (!rc && h->is_first && (stat(h->path, &st) != 0 || !is_identity(h, &st)))
		rc = err_set(e, ERR_BUSY, "%s was replaced by another process; try again", h->path);
	h->is_first = false;
	return rc;
}

void hot_detach(struct hot *h)
{
	unmap(h);
	if (h->state_fd > 0)
		close(h->state_fd);
	*h = (struct hot){ .state_fd = -1 };
}
