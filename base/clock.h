/* base/clock.h - the two clocks. Nothing else in the house reads the time: functions that
 * need it take it as an argument, so that tests can walk through a day in a loop. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void); /* since 1970 UTC; may jump */
int64_t clock_mono_ms(void); /* never goes back; for deadlines and durations */
int64_t clock_mono_us(void);

#define CLOCK_ISO_SIZE 25
/* Writes "2026-11-21T08:56:46.123Z" for a wall-clock time in milliseconds.
 * Times outside the years 0000 to 9999 are written as the nearest one inside. */
void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);

#endif
