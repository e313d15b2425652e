#include "store/key_text.h"

#include "base/crypto.h"

#define PREFIX       "sk-tg-"
#define PREFIX_BYTES 6
#define RANDOM_BYTES 32
#define SUM_BYTES    6 /* 62^6 > 2^32 */

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void write_sum(const char *text, char out[SUM_BYTES])
{
	uint32_t crc = crypto_crc32((struct slice){ text, PREFIX_BYTES + RANDOM_BYTES });

	for (int i = SUM_BYTES - 1; i >= 0; i--, crc /= 62)
		out[i] = digits[crc % 62];
}

void key_text_random(char *out, size_t n)
{
	uint8_t bytes[64];
	size_t i = 0;

	while (i < n) {
		crypto_random(bytes, sizeof(bytes));
		/* 248 = 4 x 62: what is above would make the first digits likelier. */
		for (size_t k = 0; k < sizeof(bytes) && i < n; k++)
			if (bytes[k] < 248)
				out[i++] = digits[bytes[k] % 62];
	}
	out[n] = '\0';
	crypto_wipe(bytes, sizeof(bytes));
}

void key_text_make(char out[KEY_TEXT_SIZE])
{
	memcpy(out, PREFIX, PREFIX_BYTES);
	key_text_random(out + PREFIX_BYTES, RANDOM_BYTES);
	write_sum(out, out + PREFIX_BYTES + RANDOM_BYTES);
	out[KEY_TEXT_SIZE - 1] = '\0';
}

bool key_text_is_valid(struct slice text)
{
	char sum[SUM_BYTES];

	if (text.len != KEY_TEXT_SIZE - 1 || !slice_starts(text, PREFIX))
		return false;
	for (size_t i = PREFIX_BYTES; i < text.len; i++)
		if (!text.ptr[i] || !strchr(digits, text.ptr[i]))
			return false;
	write_sum(text.ptr, sum);
	return crypto_equal(sum, text.ptr + PREFIX_BYTES + RANDOM_BYTES, SUM_BYTES);
}
