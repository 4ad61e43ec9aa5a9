-- The proof of a record that has none. Written out, as a call would make it anew each time.
local NO_PROOF = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'

-- What a claim, the grace and then its proofs, is worth at a record: `current`, `previous`, `reused`,
-- or nil. An empty one claims nothing, and fits every record.
local function standing_of(record, claim)
  if claim == '' then
    return 'current'
  end
  local current, previous, is_previous = record.proof, record.previous, false
  for at = 9, #claim, 33 do
    local proof = string.sub(claim, at, at + 32)
    if proof ~= NO_PROOF then
      if proof == current then
        return 'current'
      end
      is_previous = is_previous or proof == previous
    end
  end
  if not is_previous then
    return nil
  end
  local confirmed, grace = record.confirmed, struct.unpack('>I8', claim)
  return confirmed > 0 and confirmed + grace <= record.now and 'reused' or 'previous'
end
