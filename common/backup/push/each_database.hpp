#pragma once
#include "common/pg/server.hpp"

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

namespace walgd::backup {

/// Connects to the database that a visit is of; throws where it cannot.
using Connect = std::function<std::unique_ptr<pg::Server>()>;
using VisitDatabase = std::function<void(const std::string& name, const std::string& oid, const Connect& connect)>;

/// Every database that may be connected to, one after the other, by the options of `connection`, names in UTF-8.
/// Error(cancelled), the loss of `server`, and what `visit` throws.
void each_database(pg::Server& server, const pg::ConnectionOptions& connection, std::stop_token stop, const VisitDatabase& visit);

} // namespace walgd::backup
