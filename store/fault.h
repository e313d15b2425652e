/* store/fault.h - the named points of the protocol where a test may kill or fail us.
 *
 * store_fault_point is weak: no program but the tests defines it, so elsewhere a point costs
 * one comparison. It returns 0, or the errno with which the step at this point has to fail.
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

extern int store_fault_point(const char *name) __attribute__((weak));

static inline int fault_at(const char *name)
{
	return store_fault_point ? store_fault_point(name) : 0;
}

#endif
