local call = redis.call

-- The record of a session is named `<head>s:<key>`, and its owner's index `<head>o:<owner>`. A key has
-- so many characters, and is the session's member of the index.
local KEY_LEN = 22

local function index_of(name, owner)
  return string.sub(name, 1, -KEY_LEN - 3) .. 'o:' .. owner
end

local function has_place(name, index)
  return call('ZSCORE', index, string.sub(name, -KEY_LEN))
end
