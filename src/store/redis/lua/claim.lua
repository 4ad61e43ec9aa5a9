-- The proof of a record that has none.
local NO_PROOF = string.rep('\0', 33)

-- Whether a claim, the grace and then its proofs, has this one.
local function proves(claim, proof)
  if proof ~= NO_PROOF then
    for at = 9, #claim, 33 do
      if string.sub(claim, at, at + 32) == proof then
        return true
      end
    end
  end
  return false
end

-- What a claim is worth at a record: `current`, `previous`, `reused`, or nil. An empty one is none,
-- and fits every record.
local function standing_of(record, claim)
  if claim == '' or proves(claim, record.proof) then
    return 'current'
  end
  if not proves(claim, record.previous) then
    return nil
  end
  local confirmed, grace = record.confirmed, struct.unpack('>I8', claim)
  return confirmed > 0 and confirmed + grace <= record.now and 'reused' or 'previous'
end
