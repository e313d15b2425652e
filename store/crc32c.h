/* store/crc32c.h - the Castagnoli checksum (RFC 3720 appendix B.4) of records and rows.
 * Uses the processor's instruction where there is one: 30 ns for a record instead of 600.
 * Threads: any.
 */
#ifndef STORE_CRC32C_H
#define STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t n);

/* The same without the instruction; for machines that lack it, and to test the other. */
uint32_t crc32c_portable(const void *bytes, size_t n);

#endif
