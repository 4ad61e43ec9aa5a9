-- What precedes owner, details, sealed secret and data; record.rs says what its bytes are.
local HEADER_LEN = 136

-- Reads the record under `key`. Returns its parts, or else false and the answer to give: nothing
-- lives there, or what is wrong with it. Unless `is_whole`, its bytes are only its head, all but the
-- data: data of a megabyte takes a millisecond to copy.
--
-- A session of an owner lives as long as its place in the owner's index: to end all sessions of an
-- owner is to drop that one key, and when the server has evicted it they end, rather than be missed.
-- The record says whose session it is, so a first call cannot name the index among its keys.
-- In a Cluster that is moving a slot, an index that is not named may be missing because it is still
-- elsewhere: the answer is then its name, for the caller to ask again with both keys, which the
-- Cluster does not run before both are in one place.
local function read(key, is_final, is_whole)
  local expires = call('PEXPIRETIME', key)
  if expires == -2 then
    return false, false
  end
  -- Most heads are this short. The longest has 5,511 bytes.
  local bytes = is_whole and call('GET', key) or call('GETRANGE', key, 0, 511)
  if #bytes < HEADER_LEN or string.byte(bytes) ~= 1 then
    return false, {ok = 'it does not begin like a record of this version'}
  end
  local absolute, idle, deadline, seen, proof, previous, confirmed, owner, details, sealed =
    struct.unpack('>I8I8I8I8c33c33I8BI2I2', bytes, 26)
  local head = HEADER_LEN + owner + details + sealed
  if not is_whole then
    bytes = #bytes < head and call('GETRANGE', key, 0, head - 1) or string.sub(bytes, 1, head)
  end
  if #bytes < head then
    return false, {ok = 'it is shorter than it says'}
  end
  if expires < 0 then
    return false, {ok = 'it has no time to live'}
  end
  -- Larger ones are not exact in Lua, and no time of this store either.
  if math.max(absolute, idle, deadline, seen, confirmed) >= 2 ^ 52 then
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
    index = index_of(key, string.sub(bytes, HEADER_LEN + 1, HEADER_LEN + owner))
    if not has_place(key, index) then
      if is_final then
        call('UNLINK', key)
        return false, false
      end
      return false, {index}
    end
  end
  return {
    bytes = bytes, now = now, index = index,
    absolute = absolute, idle = idle, deadline = deadline, seen = seen,
    proof = proof, previous = previous, confirmed = confirmed,
    -- Where the owner, the details, the sealed secret and the data begin.
    owner_at = HEADER_LEN + 1, details_at = HEADER_LEN + owner + 1, sealed_at = head - sealed + 1,
    data_at = head + 1
  }
end

-- A record as it is handed out: the clock, when it was last seen, and its bytes.
local function hand_out(record)
  return struct.pack('>I8I8', record.now, record.seen) .. record.bytes
end
