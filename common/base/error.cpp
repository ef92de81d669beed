#include "common/base/error.hpp"

#include <boost/system/system_error.hpp>
#include <cstring>
#include <new>
#include <system_error>

namespace walgd {

std::string_view name_of(ErrorKind kind) {
    switch (kind) {
    case ErrorKind::transient:
        return "transient";
    case ErrorKind::denied:
        return "denied";
    case ErrorKind::misconfigured:
        return "misconfigured";
    case ErrorKind::corrupt:
        return "corrupt";
    case ErrorKind::protocol:
        return "protocol";
    case ErrorKind::refused:
        return "refused";
    case ErrorKind::failed:
        return "failed";
    case ErrorKind::cancelled:
        return "cancelled";
    }
    return "unknown";
}

void throw_errno(std::string_view action, int error_number, std::string hint) {
    if (hint.empty() && error_number == ENOSPC) hint = "free space on that file system, then try again";
    if (hint.empty() && (error_number == EMFILE || error_number == ENFILE))
        hint = "raise the limit of open files (LimitNOFILE= in the unit, ulimit -n)";
    if (hint.empty() && (error_number == EACCES || error_number == EPERM)) hint = "does this user have the right to it?";
    throw Error(ErrorKind::failed, std::string(action) + ": " + std::system_category().message(error_number), std::move(hint));
}

std::string describe(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::bad_alloc&) {
        return "there is not enough memory";
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "an exception of unknown type";
    }
}

Error as_error(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const Error& error) {
        return error;
    } catch (const boost::system::system_error& error) {
        // What Boost.Asio throws into a coroutine that is cancelled. It is no std::system_error.
        if (error.code() == boost::system::errc::operation_canceled) return Error(ErrorKind::cancelled, "cancelled");
        return Error(ErrorKind::failed, error.what());
    } catch (const std::bad_alloc&) {
        return Error(ErrorKind::failed, "there is not enough memory",
                     "raise the process's memory limit, or lower memory_budget (WALGD_MEMORY_BUDGET)");
    } catch (const std::exception& error) {
        return Error(ErrorKind::failed, error.what());
    } catch (...) {
        return Error(ErrorKind::failed, "an exception of unknown type");
    }
}

} // namespace walgd
