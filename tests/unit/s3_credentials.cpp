#include "common/storage/s3/credentials.hpp"

#include "common/base/files.hpp"
#include "common/base/run_all.hpp"
#include "common/base/time_text.hpp"
#include "tests/unit/fake_transport.hpp"

namespace walgd::storage {

using Catch::Contains;
using test::FakeAnswer;
using test::FakeTransport;
using test::kind_of;

namespace {

std::string json_of(const std::string& key, std::chrono::seconds lifetime) {
    const auto expires = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() + lifetime);
    return fmt::format(R"({{"AccessKeyId":"{}","SecretAccessKey":"s","Token":"t","Expiration":"{}"}})", key,
                       format_time(expires));
}

struct Chain {
    test::Loop loop;
    test::TemporaryFolder home;
    std::shared_ptr<Log> log = silent_log();
    S3Options options;
    FakeTransport transport;
    std::optional<CredentialChain> chain;
    explicit Chain(FakeTransport::Answers answers) : transport(std::move(answers)) {
        options.bucket = "b";
        options.environment["HOME"] = home.path();
    }
    Credentials get(bool anew = false) {
        if (!chain) chain.emplace(options, transport, *log);
        return loop.run(chain->get(anew));
    }
};

FakeAnswer nobody(const std::string&) { return {0, ""}; }

/// An instance's metadata with a role.
FakeAnswer instance(const std::string& what) {
    if (what.starts_with("PUT ")) return {200, "session"};
    if (what.find("/role1") == std::string::npos) return {200, "role1"};
    return {200, json_of("I", std::chrono::hours(6))};
}

std::string role_answer(const std::string& key) {
    return fmt::format(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<SessionToken>t</SessionToken></Credentials></AssumeRoleResult></AssumeRoleResponse>",
        key);
}

void write_shared(const Chain& chain, const std::string& name, std::string_view text) {
    std::filesystem::create_directory(chain.home / ".aws");
    write_file_atomically(chain.home / (".aws/" + name), bytes_of(text), 0600);
}

} // namespace

TEST_CASE("given keys are used, and nobody is asked", "[s3]") {
    Chain chain(nobody);
    chain.options.access_key = "A";
    chain.options.secret_key = "S";
    chain.options.session_token = "T";
    CHECK(chain.get().access_key == "A");
    CHECK(chain.get().session_token == "T");
    CHECK(chain.transport.asked.empty());
}

TEST_CASE("without any source the error names all that were tried", "[s3]") {
    Chain chain(nobody);
    const auto said = test::text_of_error([&] { chain.get(); });
    for (const auto* part : {"AWS_ACCESS_KEY_ID", "shared files", "WEB_IDENTITY", "container", "instance metadata"})
        CHECK_THAT(said, Contains(part));
    CHECK(kind_of([&] { chain.get(); }) == ErrorKind::denied);
}

TEST_CASE("shared files give the profile's keys, and a profile that is not there is an error", "[s3]") {
    Chain chain(nobody);
    chain.options.shared_credentials_file = chain.home / "credentials";
    write_file_atomically(chain.home / "credentials", bytes_of("[default]\naws_access_key_id=A\naws_secret_access_key=S\n"),
                          0600);
    CHECK(chain.get().access_key == "A");
    Chain other(nobody);
    other.options.shared_credentials_file = chain.home / "credentials";
    other.options.profile = "absent";
    CHECK_THAT(test::text_of_error([&] { other.get(); }), Contains("absent"));
}

TEST_CASE("a home folder that cannot be looked into holds no keys, a named file that cannot be read is an error", "[s3]") {
    Chain chain([](const std::string&) -> FakeAnswer { return {200, json_of("C", std::chrono::hours(6))}; });
    chain.options.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1/creds";
    std::filesystem::create_symlink(".aws", chain.home / ".aws"); // in the place of rights, which root's tests have all of
    CHECK(chain.get().access_key == "C");
    Chain other(nobody);
    other.options.shared_credentials_file = chain.home / ".aws/credentials";
    CHECK_THAT(test::text_of_error([&] { other.get(); }), Contains(".aws/credentials"));
}

TEST_CASE("an instance's role is found with a session token (IMDSv2)", "[s3]") {
    Chain chain([](const std::string& what) -> FakeAnswer {
        if (what.starts_with("PUT 169.254.169.254/latest/api/token")) return {200, "session"};
        if (what.find("x-aws-ec2-metadata-token=session") == std::string::npos) return {401, ""};
        if (what.starts_with("GET 169.254.169.254/latest/meta-data/iam/security-credentials/role1"))
            return {200, json_of("I", std::chrono::hours(6))};
        return {200, "role1\n"};
    });
    const auto found = chain.get();
    CHECK(found.access_key == "I");
    CHECK(found.session_token == "t");
    CHECK(chain.transport.asked.size() == 3);
    CHECK(chain.get().access_key == "I");
    CHECK(chain.transport.asked.size() == 3);
}

TEST_CASE("an instance's role is found where nobody knows session tokens (IMDSv1)", "[s3]") {
    for (const int refusal : {403, 404, 405, 0}) { // 0: the answer does not come, as in a container behind a hop limit
        Chain chain([&](const std::string& what) -> FakeAnswer {
            if (what.starts_with("PUT ")) return {refusal, ""};
            if (what.find("x-aws-ec2-metadata-token") != std::string::npos) return {401, ""};
            if (what.find("/role1") != std::string::npos) return {200, json_of("I", std::chrono::hours(6))};
            return {200, "role1"};
        });
        CHECK(chain.get().access_key == "I");
    }
}

TEST_CASE("an instance's metadata that want a token which does not come are told from none", "[s3]") {
    Chain chain([](const std::string& what) -> FakeAnswer { return {what.starts_with("PUT ") ? 0 : 401, ""}; });
    CHECK_THAT(test::text_of_error([&] { chain.get(); }), Contains("instance metadata") && Contains("HttpPutResponseHopLimit"));
}

TEST_CASE("instance metadata that are turned off are not asked, however that is written", "[s3]") {
    for (const auto* word : {"true", "True", "TRUE"}) {
        Chain chain(instance);
        chain.options.environment["AWS_EC2_METADATA_DISABLED"] = word;
        CHECK(kind_of([&] { chain.get(); }) == ErrorKind::denied);
        CHECK(chain.transport.asked.empty());
    }
}

TEST_CASE("an instance's metadata that are busy or broken off are asked again; without a role there are no keys", "[s3]") {
    int status = 503;
    Chain chain([&](const std::string& what) -> FakeAnswer {
        if (what.starts_with("PUT ")) return {200, "session"};
        return {status, ""};
    });
    CHECK(kind_of([&] { chain.get(); }) == ErrorKind::transient);
    status = 429;
    CHECK(kind_of([&] { chain.get(); }) == ErrorKind::transient);
    status = 0; // nobody answers any more
    CHECK(kind_of([&] { chain.get(); }) == ErrorKind::transient);
    status = 404;
    CHECK(kind_of([&] { chain.get(); }) == ErrorKind::denied);
}

TEST_CASE("a container's endpoint is asked with its token, and again before the keys expire", "[s3]") {
    int number = 0;
    auto lifetime = std::chrono::seconds(60);
    Chain chain([&](const std::string& what) -> FakeAnswer {
        if (what.find("authorization=secret-token") == std::string::npos) return {403, ""};
        return {200, json_of(fmt::format("C{}", ++number), lifetime)};
    });
    chain.options.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:8080/v1/keys";
    chain.options.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "secret-token";
    CHECK(chain.get().access_key == "C1");
    lifetime = std::chrono::hours(1);
    CHECK(chain.get().access_key == "C2"); // one minute is less than the five before expiry
    CHECK(chain.get().access_key == "C2");
    CHECK(chain.get(true).access_key == "C3"); // the server turned them down
}

TEST_CASE("a container's endpoint that refuses is not asked again and again, one that is busy is", "[s3]") {
    for (const auto& [status, kind] : {std::pair(403, ErrorKind::denied), std::pair(404, ErrorKind::denied),
                                       std::pair(429, ErrorKind::transient), std::pair(503, ErrorKind::transient)}) {
        Chain chain([&](const std::string&) -> FakeAnswer { return {status, ""}; });
        chain.options.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:8080/v1/keys";
        CHECK(kind_of([&] { chain.get(); }) == kind);
    }
}

TEST_CASE("when the keys in use end is told once they are there", "[s3]") {
    test::Loop loop;
    const auto log = silent_log();
    S3Options options;
    options.bucket = "b";
    options.region = "us-east-1";
    options.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:8080/v1/keys";
    auto transport = std::make_unique<FakeTransport>([](const std::string& what) -> FakeAnswer {
        if (what.find("/v1/keys") != std::string::npos) return {200, json_of("C", std::chrono::hours(1))};
        return {200, "<ListBucketResult/>"};
    });
    const auto storage = make_s3_storage(options, std::move(transport), *log);
    CHECK(storage->expiries().empty());
    loop.run(storage->list("", {}));
    const auto expiries = storage->expiries();
    REQUIRE(expiries.size() == 1);
    CHECK(expiries[0].of == Expiry::Of::credentials);
    CHECK(expiries[0].at > std::chrono::system_clock::now() + std::chrono::minutes(59));
}

TEST_CASE("of requests at once one renews the keys that still hold", "[s3]") {
    /// Answers later.
    struct Slow : FakeTransport {
        using FakeTransport::FakeTransport;
        awaitable<std::unique_ptr<HttpAnswer>> open(HttpServer server, HttpRequest request) override {
            co_await sleep_for(std::chrono::milliseconds(1));
            auto answer = co_await FakeTransport::open(std::move(server), std::move(request));
            co_return answer;
        }
    };
    Slow transport([](const std::string&) -> FakeAnswer { return {200, json_of("C", std::chrono::seconds(120))}; });
    S3Options options;
    options.bucket = "b";
    options.environment = {{"HOME", "/nowhere"}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/keys"}};
    const auto log = silent_log();
    CredentialChain chain(options, transport, *log);
    test::Loop loop;
    loop.run(chain.get(false));
    REQUIRE(transport.asked.size() == 1);
    auto get = [&chain]() -> awaitable<void> {
        const auto keys = co_await chain.get(false);
        CHECK(keys.access_key == "C");
    };
    std::vector<awaitable<void>> several;
    for (int count = 0; count < 16; ++count) several.push_back(get());
    loop.run(run_all(std::move(several)));
    CHECK(transport.asked.size() == 2);
}

TEST_CASE("while renewal fails, keys that still hold are used", "[s3]") {
    bool down = false;
    Chain chain([&](const std::string&) -> FakeAnswer {
        if (down) return {500, ""};
        return {200, json_of("C", std::chrono::seconds(120))};
    });
    chain.options.environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/keys";
    CHECK(chain.get().access_key == "C");
    CHECK_THAT(chain.transport.asked.front(), Contains("169.254.170.2/v2/keys"));
    down = true;
    CHECK(chain.get().access_key == "C");
    CHECK(chain.transport.asked.size() == 2);
    CHECK(chain.get().access_key == "C");
    CHECK(chain.transport.asked.size() == 2); // not each request waits for what fails
    CHECK(kind_of([&] { chain.get(true); }) == ErrorKind::transient);
}

TEST_CASE("a role without a web identity token is assumed with one's own keys, and anew before its keys end", "[s3]") {
    int count = 0;
    Chain chain([&](const std::string& what) -> FakeAnswer {
        if (what.find("/sts/aws4_request") == std::string::npos || what.find("Credential=A/") == std::string::npos)
            return {403, "<ErrorResponse><Error><Code>MissingAuthenticationToken</Code></Error></ErrorResponse>"};
        ++count;
        const auto end = std::chrono::system_clock::now() + std::chrono::minutes(count == 1 ? 1 : 60);
        return {200, fmt::format("<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>R{}</AccessKeyId>"
                                 "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{}</Expiration>"
                                 "</Credentials></AssumeRoleResult></AssumeRoleResponse>",
                                 count, format_time(end))};
    });
    chain.options.access_key = "A";
    chain.options.secret_key = "S";
    chain.options.role_arn = "arn:aws:iam::1:role/r";
    chain.options.role_session_name = "me";
    chain.options.region = "eu-west-1";
    CHECK(chain.get().access_key == "R1");
    CHECK_THAT(chain.transport.asked.front(), Contains("sts.eu-west-1.amazonaws.com") && Contains("Action=AssumeRole&") &&
                                                  Contains("RoleSessionName=me") && Contains("eu-west-1/sts/aws4_request"));
    CHECK(chain.get().access_key == "R2");
    CHECK(chain.get().session_token == "t");
    CHECK(chain.transport.asked.size() == 2);
    CHECK(chain.chain->renewable());
}

TEST_CASE("a role without a session's name and without a token is not assumed", "[s3]") {
    Chain chain([](const std::string&) -> FakeAnswer { return {403, ""}; });
    chain.options.access_key = "A";
    chain.options.secret_key = "S";
    chain.options.role_arn = "arn:aws:iam::1:role/r";
    CHECK(chain.get().access_key == "A");
    CHECK(chain.transport.asked.empty());
}

TEST_CASE("a web identity token is exchanged for the role's keys", "[s3]") {
    Chain chain([](const std::string& what) -> FakeAnswer {
        if (what.find("WebIdentityToken=the-token") == std::string::npos)
            return {403, "<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>"};
        return {200, "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>W</"
                     "AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                     "<SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></"
                     "AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"};
    });
    chain.options.web_identity_token_file = chain.home / "token";
    chain.options.role_arn = "arn:aws:iam::1:role/r";
    chain.options.region = "eu-west-1";
    write_file_atomically(chain.home / "token", bytes_of("the-token\n"), 0600);
    CHECK(chain.get().access_key == "W");
    CHECK_THAT(chain.transport.asked.front(),
               Contains("sts.eu-west-1.amazonaws.com") && Contains("Action=AssumeRoleWithWebIdentity"));
    chain.options.region = "cn-north-1";
    CHECK(chain.get(true).access_key == "W");
    CHECK_THAT(chain.transport.asked.back(), Contains("sts.cn-north-1.amazonaws.com.cn"));
    write_file_atomically(chain.home / "token", bytes_of("another"), 0600);
    CHECK_THROWS_AS(chain.get(true), Error);
}

TEST_CASE("a profile's role is assumed with the keys of its source_profile", "[s3]") {
    Chain chain([](const std::string& what) -> FakeAnswer {
        if (what.find("Credential=BASE/") == std::string::npos) return {403, ""};
        return {200, role_answer("R")};
    });
    write_shared(chain, "credentials", "[base]\naws_access_key_id=BASE\naws_secret_access_key=S\n");
    write_shared(chain, "config",
                 "[profile backup]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nexternal_id = x7\n"
                 "role_session_name = me\n");
    chain.options.profile = "backup";
    CHECK(chain.get().access_key == "R");
    CHECK_THAT(chain.transport.asked.front(), Contains("Action=AssumeRole&") && Contains("ExternalId=x7") &&
                                                  Contains("RoleSessionName=me") && Contains("role%2Fr"));
    CHECK_THAT(chain.get().source, Contains("role arn:aws:iam::1:role/r of profile backup"));

    Chain without(nobody);
    write_shared(without, "config", "[profile backup]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n");
    without.options.profile = "backup";
    CHECK_THAT(test::text_of_error([&] { without.get(); }), Contains("profile backup") && Contains("source_profile base"));
}

TEST_CASE("a profile that has its keys in a way that is not ours is an error, and no other keys are taken", "[s3]") {
    for (const auto* setting : {"sso_session = work", "sso_start_url = https://x", "credential_source = Ec2InstanceMetadata",
                                "web_identity_token_file = /t"}) {
        const std::string name(setting, std::string_view(setting).find(' '));
        Chain chosen(instance);
        write_shared(chosen, "config", fmt::format("[profile work]\nrole_arn = arn:r\n{}\n", setting));
        chosen.options.profile = "work";
        const auto said = test::text_of_error([&] { chosen.get(); });
        CHECK_THAT(said, Contains("profile work") && Contains(".aws/config") && Contains(name));
        CHECK(chosen.transport.asked.empty());
        Chain shared(instance);
        write_shared(shared, "credentials", fmt::format("[default]\n{}\n", setting));
        CHECK_THAT(test::text_of_error([&] { shared.get(); }), Contains("profile default") && Contains(name));
        // WAL-G looks into no config file that nobody named.
        Chain unnamed(instance);
        write_shared(unnamed, "config", fmt::format("[default]\n{}\n", setting));
        CHECK(unnamed.get().access_key == "I");
    }
}

TEST_CASE("a profile's program prints the keys", "[s3]") {
    const auto with = [](const std::string& process, const std::string& profile = "profile work") {
        auto chain = std::make_unique<Chain>(instance);
        write_shared(*chain, "config", fmt::format("[{}]\ncredential_process = {}\n", profile, process));
        chain->options.profile = "work";
        return chain;
    };
    const std::string keys = R"("AccessKeyId": "P", "SecretAccessKey": "S", "SessionToken": "T")";
    const auto chain = with(fmt::format(R"(cat; echo '{{"Version": 1, {}, "Expiration": "2099-01-01T00:00:00Z"}}')", keys));
    const auto found = chain->get();
    CHECK(found.access_key == "P");
    CHECK(found.secret_key == "S");
    CHECK(found.session_token == "T");
    CHECK(format_time(std::chrono::time_point_cast<Time::duration>(found.expires.value())) == "2099-01-01T00:00:00Z");
    CHECK(chain->transport.asked.empty());

    // It has our environment, but for what is said to walgd alone, and none of our files.
    ::setenv("VAULT_ADDR", "here", 1);
    ::setenv("WALG_LIBSODIUM_KEY", "secret", 1);
    const UniqueFd open_file(::dup(STDERR_FILENO)); // as a library's socket, without a flag to close it
    REQUIRE(open_file.get() > STDERR_FILENO);
    const auto told = with(fmt::format(
        R"sh(test "$VAULT_ADDR$WALG_LIBSODIUM_KEY" = here && test ! -e /proc/self/fd/{} && echo '{{"Version": 1, {}}}')sh",
        open_file.get(), keys));
    CHECK(told->get().access_key == "P");
    ::unsetenv("VAULT_ADDR");
    ::unsetenv("WALG_LIBSODIUM_KEY");

    struct Case {
        std::string process, said;
    };
    for (const auto& [process, said] : {Case{"exit 3", "gave no keys: it ended with 3"},
                                        {"kill -9 $$", "gave no keys: signal 9 ended it"},
                                        {"echo secret-key", "printed something that is not credentials"},
                                        {fmt::format("echo '{{\"Version\": 2, {}}}'", keys), "not credentials"}}) {
        const auto bad = with(process);
        const auto text = test::text_of_error([&] { bad->get(); });
        CHECK_THAT(text, Contains("the credential_process of profile work of") && Contains(".aws/config") && Contains(said));
        CHECK_THAT(text, !Contains("secret-key"));
    }
    // The config file that nobody named, as for WAL-G.
    const auto unnamed = with("exit 3", "default");
    unnamed->options.profile.clear();
    CHECK(unnamed->get().access_key == "I");
}

TEST_CASE("a config file that is not there does not matter where the credentials file has the keys", "[s3]") {
    Chain chain(nobody);
    write_shared(chain, "credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
    chain.options.config_file = chain.home / "absent";
    CHECK(chain.get().access_key == "A");
    std::filesystem::remove(chain.home / ".aws/credentials");
    CHECK_THAT(test::text_of_error([&] { chain.get(true); }), Contains("absent"));
}

TEST_CASE("Yandex's session token: only the instance's keys are taken", "[s3]") {
    Chain chain(instance);
    chain.options.access_key = "A";
    chain.options.secret_key = "S";
    chain.options.yc_session_token = true;
    CHECK(chain.get().access_key == "I");
    CHECK(chain.chain->renewable());
    Chain none(nobody);
    none.options.yc_session_token = true;
    CHECK(kind_of([&] { none.get(); }) == ErrorKind::denied);
}

TEST_CASE("who is cancelled while instance metadata are asked is not told that there are no keys", "[s3]") {
    Chain chain([](const std::string&) -> FakeAnswer { throw Error(ErrorKind::cancelled, "cancelled"); });
    CHECK(kind_of([&] { chain.get(); }) == ErrorKind::cancelled);
    Chain later([](const std::string& what) -> FakeAnswer {
        if (what.starts_with("PUT ")) return {200, "session"};
        throw Error(ErrorKind::cancelled, "cancelled");
    });
    CHECK(kind_of([&] { later.get(); }) == ErrorKind::cancelled);
}

} // namespace walgd::storage
