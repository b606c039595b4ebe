-- Shared: the order of stream ids. By their digits, since Lua's numbers are exact only below 2^53.
local function id_less(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  local function fewer(x, y) return #x < #y or (#x == #y and x < y) end
  return fewer(a_ms, b_ms) or (a_ms == b_ms and fewer(a_seq, b_seq))
end
