#pragma once
/// What most files read, parsed once for all of them in builds with WALGD_QUICK_BUILD. No file counts on it: each includes what
/// it names, as the build without it (dev) shows.
#include "common/base/async.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
