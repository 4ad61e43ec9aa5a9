local call = redis.call

-- The index of the owner of a record, whose name has so many bytes.
local function index_of(key, record, owner)
  return string.sub(key, 1, -46) .. 'o:' .. string.sub(record, 60, 59 + owner)
end

local function has_place(key, index)
  return call('ZSCORE', index, string.sub(key, -43))
end

-- Reads the record under `key`; record.rs says what its bytes are. Returns the record, the clock,
-- when it was last seen, its idle timeout, its deadline and its owner's index, or else false and
-- the answer to give: nothing lives there, or what is wrong with it. Unless `is_whole`, the record
-- is only its beginning, with all but the data: data of a megabyte takes a millisecond to copy.
--
-- A session of an owner lives as long as its place in the owner's index: to end all sessions of an
-- owner is to drop that one key, and when the server has evicted it they end, rather than be missed.
-- Whose session it is stands in the record, so a first call cannot name the index among its keys.
-- In a Cluster that is moving a slot, an index that is not named may be missing because it is still
-- elsewhere: the answer is then its name, for the caller to ask again with both keys, which the
-- Cluster does not run before both are in one place.
local function read(key, is_final, is_whole)
  local expires = call('PEXPIRETIME', key)
  if expires == -2 then
    return false, false
  end
  -- 59 bytes, an owner and a label of 255 bytes at most.
  local record = is_whole and call('GET', key) or call('GETRANGE', key, 0, 568)
  local size = #record
  if size < 59 or string.byte(record) ~= 1 then
    return false, {ok = 'it does not begin like a record of this version'}
  end
  local absolute, idle, deadline, seen, owner, label =
    struct.unpack('>I8I8I8I8BB', record, 26)
  if size < 59 + owner + label then
    return false, {ok = 'it is shorter than it says'}
  end
  if expires < 0 then
    return false, {ok = 'it has no time to live'}
  end
  -- Larger ones are not exact in Lua, and no time of this store either.
  if math.max(absolute, idle, deadline, seen) >= 2 ^ 52 then
    return false, {ok = 'it has times that cannot be'}
  end
  -- The server's clock, without a call of TIME, which would cost more than this one.
  local now = expires - call('PTTL', key)
  -- A touch moves the expiry and nothing else, so the expiry tells when the last touch was.
  if idle > 0 then
    seen = math.max(seen, expires + 1 - idle)
  end
  local index
  if owner > 0 then
    index = index_of(key, record, owner)
    if not has_place(key, index) then
      if is_final then
        call('UNLINK', key)
        return false, false
      end
      return false, {index}
    end
  end
  return record, now, seen, idle, deadline, index
end
