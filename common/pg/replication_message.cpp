#include "common/pg/replication_message.hpp"

#include "common/base/error.hpp"

#include <cstring>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

constexpr std::size_t wal_data_header = 1 + 8 + 8 + 8, keepalive_length = 1 + 8 + 8 + 1;
/// 2000-01-01, PostgreSQL's day zero.
constexpr std::chrono::sys_days postgres_epoch = std::chrono::year(2000) / 1 / 1;

std::uint64_t big_endian_at(ByteView bytes, std::size_t offset) {
    std::uint64_t number = 0;
    for (const auto byte : bytes.subspan(offset, 8)) number = number << 8 | std::to_integer<std::uint64_t>(byte);
    return number;
}

void put_number(MutableBytes bytes, std::size_t offset, std::uint64_t number) {
    for (std::size_t index = 0; index < 8; ++index) bytes[offset + index] = static_cast<std::byte>(number >> (56 - 8 * index));
}

[[noreturn]] void refuse_length(std::string_view what, std::size_t bytes) {
    throw Error(ErrorKind::protocol, fmt::format("the server sent a {} of {} bytes in the replication stream", what, bytes),
                "does a proxy between walg and PostgreSQL change what passes?");
}

} // namespace

ReplicationMessage parse_replication_message(ByteView message) {
    if (message.empty()) refuse_length("message", 0);
    switch (std::to_integer<char>(message[0])) {
    case 'w':
        if (message.size() < wal_data_header) refuse_length("WAL message", message.size());
        return WalData{Lsn(big_endian_at(message, 1)), Lsn(big_endian_at(message, 9)), message.subspan(wal_data_header)};
    case 'k':
        if (message.size() != keepalive_length) refuse_length("keepalive message", message.size());
        return Keepalive{Lsn(big_endian_at(message, 1)), message[keepalive_length - 1] != std::byte{0}};
    default:
        throw Error(ErrorKind::protocol,
                    fmt::format("the server sent a message of type {:#04x} in the replication stream, which is unknown",
                                std::to_integer<unsigned>(message[0])),
                    "is the server PostgreSQL 13 or later, and the connection a physical replication connection?");
    }
}

std::array<std::byte, 34> standby_status_message(const StandbyStatus& status, std::chrono::system_clock::time_point now) {
    std::array<std::byte, 34> message{};
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(now - postgres_epoch);
    message[0] = std::byte{'r'};
    put_number(message, 1, status.written.bytes());
    put_number(message, 9, status.flushed.bytes());
    put_number(message, 25, static_cast<std::uint64_t>(since.count()));
    message[33] = std::byte{status.reply_wanted};
    return message;
}

} // namespace walgd::pg
