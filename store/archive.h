/* store/archive.h - folded segments, kept small: the door to zlib.
 *
 * HOME/archive/journal.NNNNNNNN.z: a head, then blocks of up to ARCHIVE_BLOCK records, each
 * turned so that the first bytes of all records come first, then the second ones, and so on
 * (columns that are alike compress better than lines), deflated. Magic and checksum
 * are left out and made again when read; zlib's Adler-32 guards the block.
 *
 * Threads: any. Blocking: file reads and writes.
 */
#ifndef STORE_ARCHIVE_H
#define STORE_ARCHIVE_H

#include "store/journal.h"

#define ARCHIVE_FOLDER "archive"
#define ARCHIVE_BLOCK  4096

/* Compresses a closed segment, durably. One that is there already is left. What is no whole
 * record is left out. ERR_STORE. */
MUST_CHECK enum err_code archive_put(const struct journal *j, uint64_t segment, struct err *e);

/* Calls on_record for every record of an archived segment but its head. ERR_NOT_FOUND. */
MUST_CHECK enum err_code archive_each(const struct journal *j, uint64_t segment,
	journal_on_record on_record, void *ctx, struct err *e);

#endif
