// libpq's functions for the rest of this room, each found in the library at its first call. We do not link libpq: it brings
// Kerberos, LDAP and GnuTLS along, three megabytes of memory and a third of the start of every program, and most of what walgd
// and walg do needs no connection.
#include "common/pg/libpq.hpp"

#include "common/base/error.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

namespace {

/// Of the headers that we were compiled with.
constexpr const char* file = "libpq.so.5";

void* open_library() {
    void* const library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        throw walgd::Error(walgd::ErrorKind::misconfigured,
                           fmt::format("a connection to PostgreSQL needs {}: {}", file, ::dlerror()),
                           "install it (Debian: libpq5)");
    return library;
}

void* address(const char* name) {
    static void* const library = open_library();
    void* const found = ::dlsym(library, name);
    if (found == nullptr)
        throw walgd::Error(walgd::ErrorKind::misconfigured, fmt::format("{} has no {}", file, name),
                           "is it of PostgreSQL 13 or later?");
    return found;
}

} // namespace

#define WALGD_PQ(result, name, parameters, ...)                                                                                  \
    result name parameters {                                                                                                     \
        static const auto function = reinterpret_cast<decltype(&::name)>(address(#name));                                        \
        return function(__VA_ARGS__);                                                                                            \
    }

extern "C" {
WALGD_PQ(void, PQclear, (PGresult * result), result)
WALGD_PQ(PGconn*, PQconnectdbParams, (const char* const* keywords, const char* const* values, int expand), keywords, values,
         expand)
WALGD_PQ(int, PQconsumeInput, (PGconn * connection), connection)
WALGD_PQ(char*, PQdb, (const PGconn* connection), connection)
WALGD_PQ(char*, PQerrorMessage, (const PGconn* connection), connection)
WALGD_PQ(PGresult*, PQexec, (PGconn * connection, const char* query), connection, query)
WALGD_PQ(PGresult*, PQexecParams,
         (PGconn * connection, const char* command, int count, const Oid* types, const char* const* values, const int* lengths,
          const int* formats, int result_format),
         connection, command, count, types, values, lengths, formats, result_format)
WALGD_PQ(void, PQfinish, (PGconn * connection), connection)
WALGD_PQ(int, PQflush, (PGconn * connection), connection)
WALGD_PQ(void, PQfreemem, (void* memory), memory)
WALGD_PQ(int, PQgetCopyData, (PGconn * connection, char** buffer, int async), connection, buffer, async)
WALGD_PQ(PGresult*, PQgetResult, (PGconn * connection), connection)
WALGD_PQ(int, PQgetisnull, (const PGresult* result, int row, int field), result, row, field)
WALGD_PQ(int, PQgetlength, (const PGresult* result, int row, int field), result, row, field)
WALGD_PQ(char*, PQgetvalue, (const PGresult* result, int row, int field), result, row, field)
WALGD_PQ(char*, PQhost, (const PGconn* connection), connection)
WALGD_PQ(int, PQnfields, (const PGresult* result), result)
WALGD_PQ(int, PQntuples, (const PGresult* result), result)
WALGD_PQ(char*, PQport, (const PGconn* connection), connection)
WALGD_PQ(int, PQputCopyData, (PGconn * connection, const char* buffer, int bytes), connection, buffer, bytes)
WALGD_PQ(int, PQputCopyEnd, (PGconn * connection, const char* message), connection, message)
WALGD_PQ(char*, PQresultErrorField, (const PGresult* result, int code), result, code)
WALGD_PQ(char*, PQresultErrorMessage, (const PGresult* result), result)
WALGD_PQ(ExecStatusType, PQresultStatus, (const PGresult* result), result)
WALGD_PQ(int, PQsendQuery, (PGconn * connection, const char* query), connection, query)
WALGD_PQ(int, PQserverVersion, (const PGconn* connection), connection)
WALGD_PQ(PQnoticeProcessor, PQsetNoticeProcessor, (PGconn * connection, PQnoticeProcessor processor, void* context), connection,
         processor, context)
WALGD_PQ(int, PQsetSingleRowMode, (PGconn * connection), connection)
WALGD_PQ(int, PQsocket, (const PGconn* connection), connection)
WALGD_PQ(ConnStatusType, PQstatus, (const PGconn* connection), connection)
WALGD_PQ(char*, PQuser, (const PGconn* connection), connection)
}

#undef WALGD_PQ
