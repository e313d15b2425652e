#include "store/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82F63B78u /* reflected */

uint32_t crc32c_portable(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (POLYNOMIAL & (0u - (crc & 1u)));
	}
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t crc = ~0u, word;

	for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	while (n--)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p++);
	return ~(uint32_t)crc;
}

uint32_t crc32c(const void *bytes, size_t n)
{
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(bytes, n);
	return crc32c_portable(bytes, n);
}
#else
uint32_t crc32c(const void *bytes, size_t n)
{
	return crc32c_portable(bytes, n);
}
#endif
