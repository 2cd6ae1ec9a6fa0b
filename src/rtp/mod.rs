//! Packet bytes: views and edits in place. No policy, no state beyond one packet.
