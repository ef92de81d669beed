#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

/// Which request a thread works for at this moment, for the log. A coroutine's executor carries it from one resumption to the
/// next, so that no interface between the socket and the storage has to.
namespace walgd {

/// Empty: none.
const std::string& current_request();

/// While it lives, this thread works for `id`. The string must outlive it.
class RequestScope {
public:
    explicit RequestScope(const std::string& id);
    ~RequestScope();
    RequestScope(const RequestScope&) = delete;

private:
    const std::string* before_;
};

/// At its end this thread works for no request.
class LeaveRequest {
public:
    LeaveRequest() = default;
    ~LeaveRequest();
    LeaveRequest(const LeaveRequest&) = delete;
};

/// `inner`, where all that runs works for `id`.
boost::asio::any_io_executor for_request(boost::asio::any_io_executor inner, std::string id);

/// `inner`, for the request of this moment; `inner` itself where there is none.
boost::asio::any_io_executor for_current_request(boost::asio::any_io_executor inner);

} // namespace walgd
