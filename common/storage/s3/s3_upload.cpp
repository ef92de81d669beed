#include "common/storage/s3/s3_upload.hpp"

#include "common/storage/s3/answers.hpp"
#include "common/storage/s3/confirmed.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace walgd::storage {

namespace {

/// How many pieces an object was put together from, where its ETag tells: "<hash>-<pieces>".
std::optional<std::size_t> pieces_of(std::string_view etag) {
    while (etag.ends_with('"')) etag.remove_suffix(1);
    const auto dash = etag.rfind('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto digits = etag.substr(dash + 1);
    std::size_t pieces = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pieces);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return pieces;
}

} // namespace

awaitable<void> S3Upload::put_piece(int number, std::uint64_t, ByteView bytes) {
    S3Request request;
    request.method = "PUT";
    request.key = key_.path();
    request.query = {{"partNumber", std::to_string(number)}, {"uploadId", id_}};
    request.headers = client_.customer_key_headers();
    request.body = bytes;
    request.what = fmt::format("cannot put piece {} of {}", number, client_.name_of(key_.path()));
    if (number > pieces_max)
        throw Error(ErrorKind::misconfigured, fmt::format("{}: S3 puts no more than {} together", request.what, pieces_max),
                    "with larger pieces larger objects are possible: raise WALG_S3_MAX_PART_SIZE, and WALGD_MEMORY_BUDGET to "
                    "four times that");
    const auto answer = co_await client_.call(request, xml_bytes_max);
    auto etag = answer.head.header("etag");
    check_confirmed(answer.head, request);
    std::erase_if(etags_, [number](const auto& known) { return known.first == number; });
    etags_.emplace_back(number, std::move(etag));
    sizes_[number] = bytes.size();
}

awaitable<CopyOutcome> S3Upload::copy_piece(int number, ObjectKey from, ByteRange range) {
    S3Request request;
    request.method = "PUT";
    request.key = key_.path();
    request.query = {{"partNumber", std::to_string(number)}, {"uploadId", id_}};
    request.headers = client_.customer_key_headers();
    for (auto& header : client_.copy_source_headers(from.path())) request.headers.push_back(std::move(header));
    request.headers.emplace_back("x-amz-copy-source-range",
                                 fmt::format("bytes={}-{}", range.offset, range.offset + *range.length - 1));
    request.what =
        fmt::format("cannot copy piece {} of {} to {}", number, client_.name_of(from.path()), client_.name_of(key_.path()));
    request.accepted = {200, 404, 405, 501};
    const auto answer = co_await client_.call(request, xml_bytes_max);
    const auto outcome = outcome_of_copy(answer, request.what);
    if (outcome != CopyOutcome::copied) co_return outcome;
    etags_.emplace_back(number, parse_copied_piece(answer.body, request.what));
    sizes_[number] = *range.length;
    co_return outcome;
}

awaitable<PutOutcome> S3Upload::complete() {
    std::ranges::sort(etags_);
    const auto body = complete_body(etags_);
    S3Request request;
    request.method = "POST";
    request.key = key_.path();
    request.query = {{"uploadId", id_}};
    request.body = bytes_of(body);
    request.what = fmt::format("cannot complete {}", client_.name_of(key_.path()));
    if (if_absent_) {
        // Not every server takes the condition here, so it is looked for first as well.
        const auto there = co_await client_.head(key_.path());
        if (there) {
            const auto outcome = co_await judge(*there);
            co_return outcome;
        }
    }
    request.accepted = {200, 404};
    auto call = if_absent_ ? client_.call_if_absent(request, xml_bytes_max) : client_.call(request, xml_bytes_max);
    const auto answer = co_await std::move(call);
    if (answer.head.status == 200) {
        check_complete(answer.body, request.what);
        co_return PutOutcome::stored;
    }
    const auto there = co_await client_.head(key_.path());
    if (there && (if_absent_ || may_be_ours(*there))) {
        const auto outcome = co_await judge(*there);
        co_return outcome;
    }
    if (answer.head.status == 412) {
        co_await abort();
        co_return PutOutcome::exists;
    }
    throw error_of(parse_failure(answer.head.status, answer.body, answer.head.header("x-amz-request-id"), ""), request.what);
}

awaitable<void> S3Upload::abort() {
    S3Request request;
    request.method = "DELETE";
    request.key = key_.path();
    request.query = {{"uploadId", id_}};
    request.accepted = {200, 204, 404};
    request.what = fmt::format("cannot abort the upload of {}", client_.name_of(key_.path()));
    co_await client_.call(request, xml_bytes_max);
}

/// An object is there. An earlier attempt may have completed it, its answer lost: then the upload is gone, and it has as many
/// bytes and pieces. Else it is somebody else's.
awaitable<PutOutcome> S3Upload::judge(HttpHead there) {
    if (may_be_ours(there)) {
        const bool open = co_await is_open();
        if (!open) co_return PutOutcome::stored;
    }
    co_await abort();
    co_return PutOutcome::exists;
}

bool S3Upload::may_be_ours(const HttpHead& there) const {
    std::uint64_t bytes = 0;
    for (const auto& [number, size] : sizes_) bytes += size;
    const auto pieces = pieces_of(there.header("etag"));
    return there.content_length == bytes && (!pieces || *pieces == sizes_.size());
}

awaitable<bool> S3Upload::is_open() {
    S3Request request;
    request.method = "GET";
    request.key = key_.path();
    request.query = {{"max-parts", "1"}, {"uploadId", id_}};
    request.accepted = {200, 404};
    request.what = fmt::format("cannot look at the upload of {}", client_.name_of(key_.path()));
    const auto answer = co_await client_.call(request, xml_bytes_max);
    co_return answer.head.status == 200;
}

} // namespace walgd::storage
