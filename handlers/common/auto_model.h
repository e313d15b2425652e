/* handlers/common/auto_model.h - a request for an auto model becomes one for the model it stands
 * for, before anything else looks at it.
 */
#ifndef HANDLERS_COMMON_AUTO_MODEL_H
#define HANDLERS_COMMON_AUTO_MODEL_H

#include "handlers/common/paid.h"

/* For p->req as it was read: p->body and p->req become the request for the chosen model, which is
 * noted for the log, and x->auto_model says what was chosen. Any other request stays as it is.
 * ERR_MODEL_UNAVAILABLE; ERR_STORE, ERR_BUSY when the balance cannot be read. */
MUST_CHECK enum err_code auto_model_apply(struct exchange *x, struct paid *p, struct err *e);

#endif
