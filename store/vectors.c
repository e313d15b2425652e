#include "store/vectors_file.h"

#include "store/crc32c.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define BEST     8    /* rows that are judged by their floats */
#define QUERY_TO 1023 /* a query's numbers as int16: 127 x 1023 x 8192 is below 2^31 */

struct vectors {
	size_t capacity;
	char folder[HOME_PATH_MAX];
	pthread_mutex_t lock;    /* of map; held over opening a file */
	struct vectors_map *map; /* NULL = none */
};

enum err_code vectors_open(struct vectors **out, const struct vectors_conf *conf, struct err *e)
{
	struct vectors *v;
	enum err_code rc;

	*out = NULL;
	if (conf->max_entries < 1 || conf->max_entries > VECTORS_ENTRIES_MAX)
		return err_set(e, ERR_RANGE, "GATEWAY_SEMANTIC_MAX_SIZE must be 1 to %d",
			VECTORS_ENTRIES_MAX);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	v->capacity = (size_t)conf->max_entries;
	rc = vectors_file_folder(conf, v->folder, e);
	if (rc) {
		free(v);
		return rc;
	}
	pthread_mutex_init(&v->lock, NULL);
	*out = v;
	return ERR_OK;
}

void vectors_close(struct vectors *v)
{
	if (!v)
		return;
	vectors_map_leave(v->map);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* The file as it is now; the caller leaves it. ERR_NOT_FOUND, e untouched. */
static enum err_code enter(struct vectors *v, struct vectors_map **out, struct err *e)
{
	enum err_code rc = ERR_OK;

	*out = NULL;
	pthread_mutex_lock(&v->lock);
	if (!v->map || !vectors_file_is_current(v->map, v->folder)) {
		vectors_map_leave(v->map);
		rc = vectors_file_map(v->folder, &v->map, e);
	}
	if (!rc) {
		*out = v->map;
		atomic_fetch_add(&v->map->users, 1);
	}
	pthread_mutex_unlock(&v->lock);
	return rc;
}

/* ---- one vector ---- */

/* The same, as long as 1; to be freed. ERR_RANGE, ERR_NO_MEMORY. */
static enum err_code normalised(const float *vector, size_t n, float **out, struct err *e)
{
	double sum = 0;

	*out = NULL;
	if (n < 1 || n > VECTORS_DIMENSIONS_MAX)
		return err_set(e, ERR_RANGE, "a vector has %zu numbers, 1 to %d can be", n,
			VECTORS_DIMENSIONS_MAX);
	/* A number that is not finite makes the sum so; no finite floats can. */
	for (size_t i = 0; i < n; i++)
		sum += (double)vector[i] * (double)vector[i];
	if (!isfinite(sum))
		return err_set(e, ERR_RANGE, "a vector is not made of finite numbers");
	if (sum <= 0)
		return err_set(e, ERR_RANGE, "a vector has no length");
	*out = calloc(n, sizeof(**out));
	if (!*out)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++)
		(*out)[i] = (float)((double)vector[i] / sqrt(sum));
	return ERR_OK;
}

static float greatest(const float *vector, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = fmaxf(max, fabsf(vector[i]));
	return max;
}

/* The product of a row with the query. The inner loop has a fixed length, so that -O2 makes
 * multiply-and-add instructions of it, 8 and more at a time. */
static inline __attribute__((always_inline)) int32_t multiply(
	const int8_t *row, const int16_t *query, size_t n)
{
	int32_t sum = 0;

	for (size_t at = 0; at < n; at += VECTORS_BLOCK)
		for (size_t i = 0; i < VECTORS_BLOCK; i++)
			sum += row[at + i] * query[at + i];
	return sum;
}

typedef int32_t (*product)(const int8_t *row, const int16_t *query, size_t n);

static int32_t by_any(const int8_t *row, const int16_t *query, size_t n)
{
	return multiply(row, query, n);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static int32_t by_avx2(
	const int8_t *row, const int16_t *query, size_t n)
{
	return multiply(row, query, n);
}
#endif

static product best_product(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return by_avx2;
#endif
	return by_any;
}

/* ---- writing ---- */

static enum err_code write_at(int fd, const void *bytes, size_t n, off_t at, struct err *e)
{
	ssize_t done = pwrite(fd, bytes, n, at);

	if (done == (ssize_t)n)
		return ERR_OK;
	return err_set(e, ERR_STORE, "the vectors of the cache cannot be written: %s",
		done < 0 ? strerror(errno) : "the disk is full");
}

static uint32_t crc_of(const struct vectors_record *record, const struct vectors_map *m)
{
	return crc32c(
		(const char *)record + sizeof(record->crc), m->record_bytes - sizeof(record->crc));
}

static uint64_t key_word(const struct cache_key *key)
{
	uint64_t word;

	memcpy(&word, key->hash, sizeof(word));
	return word;
}

static size_t rows_of(const struct vectors_map *m, uint64_t written)
{
	return written < m->capacity ? (size_t)written : m->capacity;
}

/* The number under which the row is written: that of the row with the same key and group, so that
 * an answer renewed again and again takes no more room, else the next. */
static uint64_t number_for(
	const struct vectors_map *m, const struct vectors_row *row, uint64_t written)
{
	const struct vectors_entry *entries = vectors_entries(m);
	uint64_t word = key_word(&row->key);
	size_t n = rows_of(m, written);

	for (size_t i = 0; i < n; i++)
		if (entries[i].key == word &&
			memcmp(entries[i].group, row->group, sizeof(row->group)) == 0)
			return i;
	return written;
}

/* What is judged in the end. */
static enum err_code write_record(struct vectors_map *m, const struct vectors_row *row,
	uint64_t number, const float *vector, struct err *e)
{
	size_t place = (size_t)(number % m->capacity);
	struct vectors_record *record = calloc(1, m->record_bytes);
	enum err_code rc;

	if (!record)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	record->dimensions = (uint32_t)m->dimensions;
	record->number = number;
	memcpy(record->group, row->group, sizeof(record->group));
	record->guard = row->guard;
	memcpy(record->hash, row->key.hash, sizeof(record->hash));
	record->length = row->key.length;
	record->key_crc = row->key.crc;
	record->expires_ms = row->expires_ms;
	memcpy(record->vector, vector, m->dimensions * sizeof(*vector));
	record->crc = crc_of(record, m);
	rc = write_at(m->fd, record, m->record_bytes,
		m->records_at + (off_t)(place * m->record_bytes), e);
	free(record);
	return rc;
}

/* What is searched. */
static enum err_code write_entry(struct vectors_map *m, const struct vectors_row *row,
	uint64_t number, const float *vector, struct err *e)
{
	size_t place = (size_t)(number % m->capacity);
	struct vectors_entry entry = { .guard = row->guard,
		.expires_ms = row->expires_ms,
		.key = key_word(&row->key),
		.scale = greatest(vector, m->dimensions) / 127 };
	int8_t *bytes = calloc(1, m->row_bytes);
	enum err_code rc;

	if (!bytes)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	memcpy(entry.group, row->group, sizeof(entry.group));
	for (size_t i = 0; i < m->dimensions; i++)
		bytes[i] = (int8_t)lrintf(vector[i] / entry.scale);
	rc = write_at(m->fd, bytes, m->row_bytes, m->bytes_at + (off_t)(place * m->row_bytes), e);
	if (!rc)
		rc = write_at(m->fd, &entry, sizeof(entry),
			m->entries_at + (off_t)(place * sizeof(entry)), e);
	free(bytes);
	return rc;
}

/* The file for such vectors, made when there is none. The caller holds the lock. */
static enum err_code enter_for(
	struct vectors *v, size_t dimensions, struct vectors_map **out, struct err *e)
{
	enum err_code rc = enter(v, out, e);

	if (!rc && (*out)->dimensions == dimensions && (*out)->capacity == v->capacity)
		return ERR_OK;
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	vectors_map_leave(*out);
	*out = NULL;
	rc = vectors_file_make(v->folder, dimensions, v->capacity, e);
	if (!rc)
		rc = enter(v, out, e);
	return rc == ERR_NOT_FOUND
		       ? err_set(e, ERR_STORE, "%s/vectors is not what was just written", v->folder)
		       : rc;
}

static enum err_code put(struct vectors *v, const struct vectors_row *row, const float *vector,
	size_t dimensions, struct err *e)
{
	struct vectors_map *m = NULL;
	uint64_t written, number;
	enum err_code rc;
	int fd;

	rc = home_lock(v->folder, "vectors.lock", CACHE_LOCK_MS, &fd, e);
	if (rc)
		return rc;
	rc = enter_for(v, dimensions, &m, e);
	if (!rc) {
		written = vectors_written(m);
		number = number_for(m, row, written);
		rc = write_record(m, row, number, vector, e);
		if (!rc)
			rc = write_entry(m, row, number, vector, e);
		/* Last: nobody looks at a row before, and who dies before has done nothing. */
		if (!rc && number == written) {
			written++;
			rc = write_at(m->fd, &written, sizeof(written),
				offsetof(struct vectors_head, written), e);
		}
	}
	vectors_map_leave(m);
	close(fd);
	return rc;
}

enum err_code vectors_put(struct vectors *v, const struct vectors_row *row, const float *vector,
	size_t dimensions, int64_t now_ms, struct err *e)
{
	float *same;
	enum err_code rc;

	if (row->expires_ms <= now_ms)
		return err_set(e, ERR_RANGE, "it has expired already");
	rc = normalised(vector, dimensions, &same, e);
	if (!rc)
		rc = put(v, row, same, dimensions, e);
	free(same);
	return rc;
}

enum err_code vectors_clear(struct vectors *v, struct err *e)
{
	enum err_code rc;
	int fd;

	rc = home_lock(v->folder, "vectors.lock", CACHE_LOCK_MS, &fd, e);
	if (rc)
		return rc;
	rc = vectors_file_remove(v->folder, e);
	close(fd);
	return rc;
}

/* ---- finding ---- */

struct candidate {
	float score;
	size_t row;
};

struct search {
	const struct vectors_map *map;
	const uint8_t *group;
	uint64_t guard;
	int64_t now_ms;
	float *vector; /* of length 1 */
	int16_t *query;
	struct candidate best[BEST]; /* the best first */
	size_t n;
};

static void note(struct search *s, float score, size_t row)
{
	size_t i;

	if (s->n == BEST && score <= s->best[BEST - 1].score)
		return;
	i = s->n < BEST ? s->n++ : BEST - 1;
	for (; i && s->best[i - 1].score < score; i--)
		s->best[i] = s->best[i - 1];
	s->best[i] = (struct candidate){ score, row };
}

/* Goes through all rows by what may be believed in nothing. */
static void scan(struct search *s)
{
	const struct vectors_map *m = s->map;
	const struct vectors_entry *entries = vectors_entries(m);
	size_t n = rows_of(m, vectors_written(m));
	product of = best_product();

	for (size_t i = 0; i < n; i++) {
		const struct vectors_entry *entry = &entries[i];

		if (entry->guard != s->guard || entry->expires_ms <= s->now_ms ||
			memcmp(entry->group, s->group, sizeof(entry->group)) != 0)
			continue;
		note(s, (float)of(vectors_bytes(m, i), s->query, m->row_bytes) * entry->scale, i);
	}
}

/* Reads a record; false when it is not a whole one that may be found here. */
static bool read_record(const struct search *s, size_t row, struct vectors_record *record)
{
	const struct vectors_map *m = s->map;

	return pread(m->fd, record, m->record_bytes,
		       m->records_at + (off_t)(row * m->record_bytes)) ==
		       (ssize_t)m->record_bytes &&
	       record->crc == crc_of(record, m) && record->dimensions == m->dimensions &&
	       record->number % m->capacity == row && record->guard == s->guard &&
	       record->expires_ms > s->now_ms &&
	       memcmp(record->group, s->group, sizeof(record->group)) == 0;
}

/* The best of the best by their floats. */
static enum err_code judge(const struct search *s, struct vectors_record *record, double at_least,
	struct cache_key *key, double *similarity)
{
	enum err_code rc = ERR_NOT_FOUND;

	*similarity = -1;
	for (size_t i = 0; i < s->n; i++) {
		double sum = 0;

		if (!read_record(s, s->best[i].row, record))
			continue;
		for (size_t k = 0; k < s->map->dimensions; k++)
			sum += (double)record->vector[k] * (double)s->vector[k];
		/* A float knows 24 bits: the same vector may come to a little less than 1. */
		if (sum + 1e-6 < at_least || sum <= *similarity)
			continue;
		*similarity = sum;
		memcpy(key->hash, record->hash, sizeof(key->hash));
		key->length = record->length;
		key->crc = record->key_crc;
		rc = ERR_OK;
	}
	*similarity = rc ? 0 : fmin(*similarity, 1);
	return rc;
}

/* The query as it is multiplied with rows. */
static void make_query(struct search *s, size_t dimensions)
{
	float scale = greatest(s->vector, dimensions) / QUERY_TO;

	for (size_t i = 0; i < dimensions; i++)
		s->query[i] = (int16_t)lrintf(s->vector[i] / scale);
}

static enum err_code find(
	struct search *s, double at_least, struct cache_key *key, double *similarity, struct err *e)
{
	struct vectors_record *record = calloc(1, s->map->record_bytes);
	enum err_code rc;

	s->query = calloc(s->map->row_bytes, sizeof(*s->query));
	if (record && s->query) {
		make_query(s, s->map->dimensions);
		scan(s);
		rc = judge(s, record, at_least, key, similarity);
	} else {
		rc = err_set(e, ERR_NO_MEMORY, "out of memory");
	}
	free(record);
	free(s->query);
	return rc;
}

enum err_code vectors_find(struct vectors *v, const uint8_t group[32], uint64_t guard,
	const float *vector, size_t dimensions, int64_t now_ms, double at_least,
	struct cache_key *key, double *similarity, struct err *e)
{
	struct search s = { .group = group, .guard = guard, .now_ms = now_ms };
	struct vectors_map *m = NULL;
	enum err_code rc = normalised(vector, dimensions, &s.vector, e);

	*similarity = 0;
	if (!rc)
		rc = enter(v, &m, e);
	s.map = m;
	if (!rc)
		rc = m->dimensions == dimensions ? find(&s, at_least, key, similarity, e)
						 : ERR_NOT_FOUND;
	vectors_map_leave(m);
	free(s.vector);
	return rc;
}
