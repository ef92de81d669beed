#include "common/storage/s3/credentials.hpp"

#include "common/base/bytes.hpp"
#include "common/base/child_process.hpp"
#include "common/base/counted.hpp"
#include "common/base/files.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/time_text.hpp"
#include "common/storage/s3/answers.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::storage {

namespace {

constexpr std::chrono::minutes refresh_before{5};
/// While keys that were not renewed still hold, their source is left alone for so long.
constexpr std::chrono::seconds renew_again{15};
/// For an answer of instance metadata, which are as near as can be.
constexpr std::chrono::seconds token_limit{2};
constexpr std::size_t answer_bytes_max = 1 << 20;
constexpr std::chrono::minutes process_limit{1};

bool is_busy(int status) { return status == 429 || status >= 500; }

std::optional<std::chrono::system_clock::time_point> expiry_of(const std::string& text) {
    const auto time = parse_time(text);
    if (!time) return std::nullopt;
    return std::chrono::time_point_cast<std::chrono::system_clock::duration>(*time);
}

/// The JSON that a credential_process prints, by the documents of Amazon's SDKs ("Sourcing credentials with an external
/// process").
Credentials parse_process_answer(const std::string& text, std::string source) {
    try {
        const auto document = nlohmann::json::parse(text);
        if (document.at("Version") == 1)
            return {document.at("AccessKeyId"), document.at("SecretAccessKey"), document.value("SessionToken", ""),
                    expiry_of(document.value("Expiration", "")), std::move(source)};
    } catch (const nlohmann::json::exception&) { // the text may hold a key, and is shown nowhere
    }
    throw Error(ErrorKind::misconfigured, fmt::format("{} printed something that is not credentials", source),
                R"(it has to print {"Version": 1, "AccessKeyId": ..., "SecretAccessKey": ...} and nothing else)");
}

/// The JSON that container and instance endpoints answer with.
Credentials parse_endpoint_answer(const std::string& text, std::string source) {
    try {
        const auto document = nlohmann::json::parse(text);
        Credentials credentials{document.at("AccessKeyId"), document.at("SecretAccessKey"), document.value("Token", ""),
                                expiry_of(document.value("Expiration", "")), std::move(source)};
        return credentials;
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorKind::transient, fmt::format("{} answered with something that is not credentials", source));
    }
}

} // namespace

std::string CredentialChain::environment(const std::string& name) const {
    const auto found = options_.environment.find(name);
    return found == options_.environment.end() ? std::string() : found->second;
}

awaitable<Credentials> CredentialChain::get(bool anew) {
    const auto now = std::chrono::system_clock::now();
    const bool fresh = current_ && (!current_->expires || *current_->expires - refresh_before > now ||
                                    (*current_->expires > now && now < renew_at_));
    // One request renews them for all that come meanwhile.
    const bool renewed_by_another = renewing_ > 0 && current_ && current_->expires && *current_->expires > now;
    if ((fresh || renewed_by_another) && !anew) co_return *current_;
    std::optional<Error> failure;
    try {
        const Counted renewing(renewing_);
        current_ = co_await fetch();
        co_return *current_;
    } catch (const Error& error) {
        failure = error;
    }
    if (!anew && current_ && current_->expires && *current_->expires > now) {
        renew_at_ = now + renew_again;
        log_.warn("event=credentials_not_renewed error={}", in_quotes(failure->what()));
        co_return *current_;
    }
    throw *failure;
}

awaitable<Credentials> CredentialChain::fetch() {
    const auto own = co_await fetch_own();
    if (!assumes_role()) co_return own;
    const HttpFields form{{"Action", "AssumeRole"}};
    const Role role{options_.role_arn, options_.role_session_name};
    auto credentials = co_await ask_for_role(role, form, own);
    co_return credentials;
}

awaitable<Credentials> CredentialChain::fetch_own() {
    if (!options_.yc_session_token) {
        auto given = co_await from_settings();
        if (!given) {
            given = co_await from_files();
        }
        if (given) co_return *given;
    }
    const auto container = co_await from_container();
    if (container) co_return *container;
    const auto instance = co_await from_instance();
    if (instance) co_return *instance;
    if (options_.yc_session_token)
        throw Error(ErrorKind::denied,
                    fmt::format("no credentials for bucket {}: tried container endpoint, instance metadata", options_.bucket),
                    "with S3_USE_YC_SESSION_TOKEN they come from there alone: does the instance have a service account?");
    throw Error(ErrorKind::denied,
                fmt::format("no credentials for bucket {}: tried AWS_ACCESS_KEY_ID, shared files (profile {}), "
                            "AWS_WEB_IDENTITY_TOKEN_FILE, container endpoint, instance metadata",
                            options_.bucket, options_.profile.empty() ? "default" : options_.profile),
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
}

awaitable<std::optional<Credentials>> CredentialChain::from_settings() {
    if (!options_.access_key.empty() && !options_.secret_key.empty())
        co_return Credentials{options_.access_key, options_.secret_key, options_.session_token, std::nullopt, "settings"};
    if (options_.web_identity_token_file.empty() || options_.role_arn.empty()) co_return std::nullopt;
    const HttpFields form{{"Action", "AssumeRoleWithWebIdentity"},
                          {"WebIdentityToken", std::string(trimmed(read_text_file(options_.web_identity_token_file)))}};
    const Role role{options_.role_arn, options_.role_session_name};
    auto credentials = co_await ask_for_role(role, form, std::nullopt);
    co_return credentials;
}

awaitable<std::optional<Credentials>> CredentialChain::from_files() {
    const auto name = options_.profile.empty() ? std::string("default") : options_.profile;
    const auto home = environment("HOME");
    std::vector<SharedFile> files;
    files.push_back(read_shared(options_.shared_credentials_file, home + "/.aws/credentials", log_));
    files[0].meant = true;
    std::optional<Error> no_config; // of no interest where the other file has the keys
    try {
        files.push_back(read_shared(options_.config_file, home + "/.aws/config", log_));
    } catch (const Error& error) {
        no_config = error;
    }
    files.back().meant = files.back().meant || !options_.profile.empty();
    for (const auto& file : files) {
        const auto profile = parse_profile(file.text, name);
        if (!file.meant || !profile.contains("role_arn") || !profile.contains("source_profile")) continue;
        const auto where = fmt::format("profile {} of {}", name, file.path);
        const auto source = value_of(profile, "source_profile");
        const auto own = keys_of(files, source);
        if (!own)
            throw Error(ErrorKind::misconfigured,
                        fmt::format("{} has its keys by source_profile {}, which has none", where, source),
                        "walgd takes aws_access_key_id and aws_secret_access_key of that profile");
        auto credentials = co_await from_role(profile, *own, where);
        co_return credentials;
    }
    if (auto keys = keys_of(files, name)) co_return std::move(keys);
    if (no_config) throw *no_config;
    for (const auto& file : files) {
        const auto command = value_of(parse_profile(file.text, name), "credential_process");
        if (!file.meant || command.empty()) continue;
        auto credentials = co_await from_process(command, fmt::format("profile {} of {}", name, file.path));
        co_return credentials;
    }
    for (const auto& file : files) {
        const auto source = foreign_source(parse_profile(file.text, name));
        if (source.empty()) continue;
        const auto text = fmt::format("profile {} of {} has its keys by {}", name, file.path, source);
        // What is found elsewhere would be somebody else's keys.
        if (file.meant)
            throw Error(ErrorKind::misconfigured, text + ", which walgd does not know",
                        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, give that profile keys, or name another one in "
                        "AWS_PROFILE");
        log_.warn("event=credentials_passed_over error={} hint=\"AWS_PROFILE names it where it is meant\"", in_quotes(text));
    }
    if (!options_.profile.empty())
        throw Error(ErrorKind::denied, fmt::format("profile {} has no keys in {} nor in {}", name, files[0].path, files[1].path),
                    "AWS_PROFILE names it");
    co_return std::nullopt;
}

/// The keys of the role that a profile names.
awaitable<Credentials> CredentialChain::from_role(Profile profile, Credentials own, std::string where) {
    if (profile.contains("mfa_serial"))
        throw Error(ErrorKind::misconfigured,
                    fmt::format("{} wants a code of a device (mfa_serial), which nobody can give walgd", where),
                    "name another profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    HttpFields form{{"Action", "AssumeRole"}};
    for (const auto& [setting, field] :
         {std::pair("external_id", "ExternalId"), std::pair("duration_seconds", "DurationSeconds")}) {
        if (const auto value = value_of(profile, setting); !value.empty()) form.emplace_back(field, value);
    }
    const Role role{value_of(profile, "role_arn"), value_of(profile, "role_session_name")};
    auto credentials = co_await ask_for_role(role, form, own);
    credentials.source = fmt::format("role {} of {}", role.arn, where);
    co_return credentials;
}

/// Ours, as with Amazon's tools, but for what is said to walgd alone.
static std::vector<std::string> environment_of_process() {
    std::vector<std::string> lines;
    for (char** line = ::environ; *line != nullptr; ++line) {
        const std::string_view text(*line);
        const bool ours = text.starts_with("WALG_") || text.starts_with("WALGD_") || text.starts_with("WALE_");
        if (!ours && !text.starts_with("PGPASSWORD=")) lines.emplace_back(text);
    }
    return lines;
}

awaitable<Credentials> CredentialChain::from_process(std::string command, std::string where) {
    const auto input = file_in_memory(""), output = file_in_memory("");
    const auto source = "the credential_process of " + where;
    // A shell reads it, as for Amazon's tools.
    ChildProcess program{{"/bin/sh", "-c", std::move(command)}, environment_of_process(), input.get(), output.get()};
    std::optional<Error> failure;
    try {
        co_await within(process_limit, run_child(std::move(program)), "it took longer than a minute");
    } catch (const Error& error) {
        failure = error;
    }
    if (failure && failure->kind() == ErrorKind::cancelled) throw *failure;
    if (failure) throw Error(ErrorKind::denied, fmt::format("{} gave no keys: {}", source, failure->what()), "run it by hand");
    Blob printed(answer_bytes_max);
    printed.commit(read_at(output.get(), printed.room(), 0, source));
    co_return parse_process_answer(std::string(text_of(printed.view())), source);
}

awaitable<std::pair<int, std::string>> CredentialChain::ask(HttpServer server, HttpRequest request) {
    auto answer = co_await transport_.open(server, request);
    const auto status = answer->head().status;
    auto text = co_await read_text(*answer, answer_bytes_max);
    co_return std::pair(status, std::move(text));
}

awaitable<Credentials> CredentialChain::ask_for_role(Role role, HttpFields form, std::optional<Credentials> own) {
    const auto action = form.front().second;
    const auto endpoint = environment("AWS_ENDPOINT_URL_STS");
    const auto region = options_.region.empty() || options_.region == "auto" ? std::string("us-east-1") : options_.region;
    const auto server = parse_endpoint(
        endpoint.empty() ? fmt::format("https://sts.{}.{}", region, amazon_domain(region)) : endpoint, "AWS_ENDPOINT_URL_STS");
    HttpRequest request;
    request.method = "POST";
    request.headers = {{"content-type", "application/x-www-form-urlencoded"}};
    HttpRequest encoded; // only for its encoding of pairs
    encoded.query = std::move(form);
    encoded.query.emplace_back("Version", "2011-06-15");
    encoded.query.emplace_back("RoleArn", role.arn);
    encoded.query.emplace_back("RoleSessionName", role.session.empty() ? "walgd" : role.session);
    const auto body = encoded.target().substr(encoded.path.size() + 1);
    request.body = bytes_of(body);
    if (own) {
        const auto now = std::chrono::system_clock::now();
        sign(request, server.authority(), *own, region, "sts", now, sha256_hex(request.body));
    }
    const auto [status, text] = co_await ask(server, request);
    if (status != 200)
        throw error_of(parse_failure(status, text, "", ""),
                       fmt::format("cannot assume role {} at {}", role.arn, server.authority()));
    const auto found = parse_sts(text, action);
    co_return Credentials{found.access_key, found.secret_key, found.token, expiry_of(found.expires),
                          (own ? "role " : "web identity of ") + role.arn};
}

awaitable<std::optional<Credentials>> CredentialChain::from_container() {
    const auto relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const auto full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative.empty() && full.empty()) co_return std::nullopt;
    const auto url = relative.empty() ? full : "http://169.254.170.2" + relative;
    const auto scheme = url.find("://");
    const auto slash = url.find('/', scheme == std::string::npos ? 0 : scheme + 3);
    const auto server = parse_endpoint(url.substr(0, slash), "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    HttpRequest request;
    request.method = "GET";
    request.path = slash == std::string::npos ? "/" : url.substr(slash);
    const auto token_file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const std::string token(token_file.empty() ? environment("AWS_CONTAINER_AUTHORIZATION_TOKEN")
                                               : std::string(trimmed(read_text_file(token_file))));
    if (!token.empty()) request.headers.emplace_back("authorization", token);
    const auto [status, text] = co_await ask(server, request);
    if (status != 200)
        throw Error(is_busy(status) ? ErrorKind::transient : ErrorKind::denied,
                    fmt::format("the container's credentials endpoint {} answered HTTP {}", server.authority(), status),
                    is_busy(status) ? ""
                                    : "has the container a role, and is AWS_CONTAINER_AUTHORIZATION_TOKEN, or its file, right?");
    co_return parse_endpoint_answer(text, "container endpoint " + server.authority());
}

/// What comes of asking for a token: status 0 where no answer came in time.
awaitable<std::pair<int, std::string>> CredentialChain::ask_for_instance_token(HttpServer server) {
    HttpRequest request;
    request.method = "PUT";
    request.path = "/latest/api/token";
    request.headers = {{"x-aws-ec2-metadata-token-ttl-seconds", "21600"}};
    std::pair<int, std::string> token{0, ""};
    const auto asking = [&]() -> awaitable<void> { token = co_await ask(server, request); };
    try {
        co_await within(token_limit, asking(), "no answer");
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::cancelled) throw;
    }
    co_return token;
}

/// `there`: a metadata server answers, and is to be believed.
awaitable<std::optional<Credentials>> CredentialChain::ask_instance(HttpServer server, bool& there) {
    constexpr std::string_view roles = "/latest/meta-data/iam/security-credentials/";
    // A server that is busy is no server without a role.
    const auto gives = [&there](int status) {
        there = there || is_busy(status) || status == 200;
        if (is_busy(status)) throw Error(ErrorKind::transient, fmt::format("it answered HTTP {}", status));
        return status == 200;
    };
    const auto token = co_await ask_for_instance_token(server);
    // Who stands in for Amazon's metadata may know no tokens (IMDSv1), and the answer with one may get as far as the instance and
    // not into its container (hop limit): then it goes without, as for WAL-G's SDK.
    const bool knows_none = token.first == 0 || token.first == 403 || token.first == 404 || token.first == 405;
    if (!knows_none && !gives(token.first)) co_return std::nullopt;
    HttpRequest request;
    request.method = "GET";
    request.path = roles;
    if (!knows_none) request.headers = {{"x-aws-ec2-metadata-token", token.second}};
    const auto role = co_await ask(server, request);
    if (token.first == 0 && role.first == 401) {
        there = true;
        throw Error(ErrorKind::denied, "they want a token, and their answer with one does not come",
                    "in a container the instance's HttpPutResponseHopLimit has to be 2");
    }
    if (!gives(role.first)) co_return std::nullopt;
    request.path = std::string(roles) + std::string(trimmed(role.second.substr(0, role.second.find('\n'))));
    const auto answer = co_await ask(server, request);
    if (!gives(answer.first)) co_return std::nullopt;
    co_return parse_endpoint_answer(answer.second, "instance metadata");
}

awaitable<std::optional<Credentials>> CredentialChain::from_instance() {
    if (lower_case(environment("AWS_EC2_METADATA_DISABLED")) == "true") co_return std::nullopt;
    const auto endpoint = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const auto server =
        parse_endpoint(endpoint.empty() ? "http://169.254.169.254" : endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    std::optional<Error> failure;
    bool there = false;
    try {
        auto found = co_await ask_instance(server, there);
        co_return found;
    } catch (const Error& error) {
        failure = error;
    }
    if (failure->kind() == ErrorKind::cancelled) throw *failure;
    if (there) throw failure->within("cannot get credentials from instance metadata");
    // Off Amazon's machines nobody is there.
    log_.debug("event=no_instance_metadata error={}", in_quotes(failure->what()));
    co_return std::nullopt;
}

} // namespace walgd::storage
