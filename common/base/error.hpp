#pragma once
#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace walgd {

/// What a program can do about an error.
enum class ErrorKind {
    transient,     ///< the other side did not answer or asked to wait: try again
    denied,        ///< credentials or permissions: tell a person
    misconfigured, ///< a setting or an argument is wrong: tell a person
    corrupt,       ///< data is damaged, or of another cluster or key: stop and keep the evidence
    protocol,      ///< a peer spoke nonsense: drop this connection
    refused,       ///< doing it would break something: other content, other system, a folder in use
    failed,        ///< the operating system or a library failed: disk full, out of descriptors
    cancelled,     ///< somebody asked to stop: not a failure, not logged as one
};

std::string_view name_of(ErrorKind kind);

/// The one exception type. `what()` names the object and the cause; `hint()` tells a person the next step (may be empty).
class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message, std::string hint = {})
        : std::runtime_error(message), kind_(kind), hint_(std::move(hint)) {}

    ErrorKind kind() const { return kind_; }
    const std::string& hint() const { return hint_; }

    /// The same error, its message led by `context` and ": ". For callers that know the object's name.
    Error within(std::string_view context) const { return Error(kind_, std::string(context) + ": " + what(), hint_); }

private:
    ErrorKind kind_;
    std::string hint_;
};

/// Throws Error(failed) saying `action` ("cannot open /x") and the text of `error_number`. ENOSPC and EMFILE get their hints
/// here.
[[noreturn]] void throw_errno(std::string_view action, int error_number = errno, std::string hint = {});

/// The text of any exception, for the one place that handles it.
std::string describe(const std::exception_ptr& failure);

/// The exception as an Error: itself, or one of kind `failed` made from its text.
Error as_error(const std::exception_ptr& failure);

} // namespace walgd
