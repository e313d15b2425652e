/* base/num.h - a number in a narrower type: what does not fit becomes the nearest that does.
 *
 * For figures that somebody else reports, where a wrapped one would be a lie. Pure; threads: any.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdint.h>

static inline uint32_t num_u32(int64_t n)
{
	return n <= 0 ? 0 : n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

#endif
