#pragma once
#include "common/base/async.hpp"

#include <string>

namespace walgd {

/// `task` as a part of the request `id`: whatever is logged on its way (see request_scope.hpp) carries that name.
template <class T> awaitable<T> as_request(std::string id, awaitable<T> task) {
    const auto io = co_await asio::this_coro::executor;
    const auto executor = for_request(io, std::move(id));
    // The task's last handler resumes us inside its scope: what our caller does next is no part of the request.
    const LeaveRequest leave;
    co_return co_await asio::co_spawn(executor, std::move(task), asio::use_awaitable);
}

} // namespace walgd
