#pragma once
#include "common/storage/s3/s3_storage.hpp"
#include "common/storage/s3/shared_files.hpp"
#include "common/storage/s3/signature.hpp"

namespace walgd::storage {

/// The chain of WAL-G's SDK: given keys, web identity token with role, shared files and profile (its keys, a role that is
/// assumed with another profile's, or a program that prints keys), container endpoint, instance metadata (IMDSv2, or IMDSv1 where
/// that is all there is). What expires is fetched anew five minutes before; while that fails, the old ones are used as long as
/// they hold.
class CredentialChain {
public:
    CredentialChain(const S3Options& options, Transport& transport, Log& log)
        : options_(options), transport_(transport), log_(log) {}

    /// `anew`: the server turned the last ones down. Error(denied) tells which sources were tried.
    awaitable<Credentials> get(bool anew);
    /// Those in use, as far as they were needed yet.
    const std::optional<Credentials>& current() const { return current_; }
    /// Whether asking anew can give others: not when the keys stand in the settings.
    bool renewable() const {
        return options_.access_key.empty() || options_.secret_key.empty() || assumes_role() || options_.yc_session_token;
    }

private:
    struct Role {
        std::string arn, session;
    };
    /// A role that has a session name, and no web identity token, is assumed with one's own keys, as WAL-G does it.
    bool assumes_role() const {
        return !options_.role_arn.empty() && !options_.role_session_name.empty() && options_.web_identity_token_file.empty() &&
               !options_.yc_session_token;
    }
    awaitable<Credentials> fetch();
    awaitable<Credentials> fetch_own();
    awaitable<std::optional<Credentials>> from_settings();
    awaitable<std::optional<Credentials>> from_files();
    awaitable<Credentials> from_role(Profile profile, Credentials own, std::string where);
    /// What a profile's credential_process prints.
    awaitable<Credentials> from_process(std::string command, std::string where);
    /// The security token service's answer to `form`, its action first; signed with `own` keys, if it takes them.
    awaitable<Credentials> ask_for_role(Role role, HttpFields form, std::optional<Credentials> own);
    awaitable<std::optional<Credentials>> from_container();
    awaitable<std::optional<Credentials>> from_instance();
    awaitable<std::pair<int, std::string>> ask_for_instance_token(HttpServer server);
    awaitable<std::optional<Credentials>> ask_instance(HttpServer server, bool& there);
    awaitable<std::pair<int, std::string>> ask(HttpServer server, HttpRequest request);
    std::string environment(const std::string& name) const;

    const S3Options& options_;
    Transport& transport_;
    Log& log_;
    std::optional<Credentials> current_;
    std::chrono::system_clock::time_point renew_at_{}; ///< after a failure
    unsigned renewing_ = 0;                            ///< requests that do it
};

} // namespace walgd::storage
