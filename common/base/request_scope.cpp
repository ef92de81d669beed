#include "common/base/request_scope.hpp"

#include <boost/asio/execution.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <type_traits>
#include <utility>

namespace walgd {

namespace asio = boost::asio;

namespace {

const std::string nobody;
// Of the thread and not passed on: a log line is written far below the code that knows the request.
thread_local const std::string* current = &nobody;

/// Satisfies Asio's executor: hands everything to `inner_`, and every function in a RequestScope.
class RequestExecutor {
    using Inner = asio::any_io_executor;
    template <class Property> using If = std::enable_if_t<Property::value, RequestExecutor>;

public:
    RequestExecutor(Inner inner, std::shared_ptr<const std::string> id) noexcept : inner_(std::move(inner)), id_(std::move(id)) {}

    template <class Function> void execute(Function&& function) const {
        inner_.execute([id = id_, work = std::forward<Function>(function)]() mutable {
            const RequestScope scope(*id);
            std::move(work)();
        });
    }
    template <class Property> auto query(const Property& property) const
        -> decltype(asio::query(std::declval<const Inner&>(), property)) {
        return asio::query(inner_, property);
    }
    template <class Property> If<asio::can_require<const Inner&, Property>> require(const Property& property) const {
        return {asio::require(inner_, property), id_};
    }
    template <class Property> If<asio::can_prefer<const Inner&, Property>> prefer(const Property& property) const {
        return {asio::prefer(inner_, property), id_};
    }
    friend bool operator==(const RequestExecutor& left, const RequestExecutor& right) noexcept {
        return left.id_ == right.id_ && left.inner_ == right.inner_;
    }

private:
    Inner inner_;
    std::shared_ptr<const std::string> id_;
};

} // namespace

const std::string& current_request() { return *current; }

RequestScope::RequestScope(const std::string& id) : before_(std::exchange(current, &id)) {}
RequestScope::~RequestScope() { current = before_; }

LeaveRequest::~LeaveRequest() { current = &nobody; }

asio::any_io_executor for_request(asio::any_io_executor inner, std::string id) {
    return RequestExecutor(std::move(inner), std::make_shared<const std::string>(std::move(id)));
}

asio::any_io_executor for_current_request(asio::any_io_executor inner) {
    return current_request().empty() ? inner : for_request(std::move(inner), current_request());
}

} // namespace walgd
