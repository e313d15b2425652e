/* fcgi/protocol.h - the constants of FastCGI that are used here, by the names they have in section
 * 8 of its specification ("FastCGI Specification", version 1.0, 29 April 1996). */
#ifndef FCGI_PROTOCOL_H
#define FCGI_PROTOCOL_H

#define FCGI_VERSION_1  1
#define FCGI_HEADER_LEN 8 /* of every record; also the length of the bodies that have a form */

/* types of records */
#define FCGI_BEGIN_REQUEST 1
#define FCGI_ABORT_REQUEST 2
#define FCGI_END_REQUEST   3
#define FCGI_PARAMS        4
#define FCGI_STDIN         5
#define FCGI_STDOUT        6
#define FCGI_DATA          8
#define FCGI_GET_VALUES    9

/* flags and roles of FCGI_BEGIN_REQUEST */
#define FCGI_KEEP_CONN  1
#define FCGI_RESPONDER  1
#define FCGI_AUTHORIZER 2
#define FCGI_FILTER     3

/* protocol status of FCGI_END_REQUEST */
#define FCGI_REQUEST_COMPLETE 0
#define FCGI_UNKNOWN_ROLE     3

#endif
