local call = redis.call

-- The record of a session is named `<head>s:<key>`, and its owner's index `<head>o:<owner>`.
local KEY_LEN = 22

-- The key of a session, which is also its member of the index.
local function member_of(name)
  return string.sub(name, -KEY_LEN)
end

-- What precedes the key in the name of every session of the partition.
local function siblings_of(name)
  return string.sub(name, 1, -KEY_LEN - 1)
end

local function index_of(name, owner)
  return string.sub(name, 1, -KEY_LEN - 3) .. 'o:' .. owner
end

local function has_place(name, index)
  return call('ZSCORE', index, member_of(name))
end
