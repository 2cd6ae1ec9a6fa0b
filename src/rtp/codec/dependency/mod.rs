//! The dependency descriptor, a header extension that says of a frame what it needs and who needs
//! it, for any codec and also when the payload is encrypted (RTP Payload Format For AV1, AOMedia,
//! appendix A).

#[cfg(test)]
mod tests;

use super::Size;
use crate::rtp::bits::{Bits, BitsMut};

/// Layers told apart in each direction: three spatial and three temporal ones. What is above them
/// counts as the highest.
pub const LAYERS: usize = 3;

/// Templates of a structure: their numbers have six bits (A.8.3).
const MAX_TEMPLATES: usize = 64;

/// Decode targets of a structure: their count has five bits (A.8.3).
const MAX_TARGETS: usize = 32;

/// Bytes of the fields that every descriptor has.
const MANDATORY_LEN: usize = 3;

/// Longest descriptor that an extension can hold (RFC 8285, 4.3).
pub const MAX_LEN: usize = 255;

/// What a stream announced with its last key frame.
#[derive(Debug, Clone)]
pub struct Structure {
    offset: u8,
    templates: [Template; MAX_TEMPLATES],
    template_count: usize,
    /// The highest spatial and temporal layer of each decode target.
    targets: [(u8, u8); MAX_TARGETS],
    target_count: usize,
    /// By spatial and temporal layer, the decode target that is all of both.
    by_layer: [[Option<u8>; LAYERS]; LAYERS],
    spatial_layers: u8,
    sizes: [Option<Size>; LAYERS],
}

/// What frames of one kind have in common.
#[derive(Debug, Clone, Copy, Default)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: u64,
    references: u64,
}

/// What a packet's descriptor says about its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Whether this is its first packet.
    pub starts: bool,
    /// Whether this is its last packet.
    pub ends: bool,
    /// Whether a decoder can begin with it.
    pub key: bool,
    /// Its number, counted over all layers, modulo 2¹⁶.
    pub number: u16,
    /// Its spatial layer.
    pub spatial: u8,
    /// Its temporal layer.
    pub temporal: u8,
    /// What it is to those who receive a given pair of layers.
    pub roles: Roles,
    /// The frames it refers to, as bits: bit 0 is the frame before it. References of more than 64
    /// frames are not among them.
    pub references: u64,
}

/// What a frame is to the receivers of each pair of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u32);

/// What a frame is to the receivers of one decode target (A.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Not for them.
    NotPresent,
    /// Nothing refers to it.
    Discardable,
    /// From here on everything of the target can be decoded.
    Switch,
    /// Others refer to it.
    Required,
}

impl Roles {
    /// What it is to those who receive everything up to these layers.
    pub fn of(self, spatial: usize, temporal: usize) -> Role {
        let index = spatial.min(LAYERS - 1) * LAYERS + temporal.min(LAYERS - 1);
        match self.0 >> (2 * index) & 3 {
            0 => Role::NotPresent,
            1 => Role::Discardable,
            2 => Role::Switch,
            _ => Role::Required,
        }
    }

    fn set(&mut self, spatial: usize, temporal: usize, bits: u64) {
        self.0 |= (bits as u32 & 3) << (2 * (spatial * LAYERS + temporal));
    }
}

impl Default for Structure {
    fn default() -> Self {
        Self {
            offset: 0,
            templates: [Template::default(); MAX_TEMPLATES],
            template_count: 0,
            targets: [(0, 0); MAX_TARGETS],
            target_count: 0,
            by_layer: [[None; LAYERS]; LAYERS],
            spatial_layers: 1,
            sizes: [None; LAYERS],
        }
    }
}

/// Whether a packet begins a key frame: only then a structure is announced (A.8.2).
pub fn starts_keyframe(descriptor: &[u8]) -> Option<bool> {
    let starts_frame = descriptor.first()? & 0x80 != 0;
    Some(starts_frame && has_structure(descriptor))
}

/// The first bit behind the mandatory fields says whether a structure follows.
fn has_structure(descriptor: &[u8]) -> bool {
    let flags = descriptor.get(MANDATORY_LEN);
    flags.is_some_and(|flags| flags & 0x80 != 0)
}

impl Structure {
    /// Reads a packet's descriptor; takes over a new structure first. `None` if it is cut, or names
    /// a template that was not announced.
    pub fn read(&mut self, descriptor: &[u8]) -> Option<Frame> {
        let mut bits = Bits::new(descriptor);
        let (starts, ends) = (bits.flag()?, bits.flag()?);
        let template = bits.read(6)? as u8;
        let number = bits.read(16)? as u16;
        let flags = match descriptor.len() > MANDATORY_LEN {
            true => Flags::read(&mut bits)?,
            false => Flags::default(),
        };
        if flags.structure {
            self.announce(&mut bits)?;
        }
        if flags.active {
            bits.skip(self.target_count)?;
        }
        let index = usize::from(template.wrapping_sub(self.offset) & 0x3f);
        let template = *self.templates[..self.template_count].get(index)?;
        let indications = match flags.indications {
            true => read_indications(&mut bits, self.target_count)?,
            false => template.indications,
        };
        let references = match flags.references {
            true => read_references(&mut bits)?,
            false => template.references,
        };
        Some(Frame {
            starts,
            ends,
            key: starts && flags.structure,
            number,
            spatial: template.spatial,
            temporal: template.temporal,
            roles: self.roles(indications),
            references,
        })
    }

    /// Spatial layers; one before anything was announced.
    pub fn spatial_layers(&self) -> usize {
        self.spatial_layers.into()
    }

    /// The size of a spatial layer's pictures, if it was announced.
    pub fn size(&self, spatial: usize) -> Option<Size> {
        *self.sizes.get(spatial)?
    }

    /// The decode targets of those who receive everything up to these layers.
    pub fn active(&self, spatial: usize, temporal: usize) -> Active {
        let top = |layer: usize| match layer >= LAYERS - 1 {
            // Above the layers that are told apart there is nothing to leave out.
            true => u8::MAX,
            false => layer as u8,
        };
        let within = |(s, t): &(u8, u8)| *s <= top(spatial) && *t <= top(temporal);
        let targets = self.targets[..self.target_count].iter().enumerate();
        Active {
            count: self.target_count,
            targets: targets
                .filter(|(_, target)| within(target))
                .fold(0, |mask, (index, _)| mask | 1 << index),
        }
    }

    fn roles(&self, indications: u64) -> Roles {
        let mut roles = Roles::default();
        for (spatial, targets) in self.by_layer.iter().enumerate() {
            for (temporal, target) in targets.iter().enumerate() {
                if let Some(target) = target {
                    roles.set(spatial, temporal, indications >> (2 * target));
                }
            }
        }
        roles
    }

    /// Reads `template_dependency_structure()` (A.8.3); half a structure is none.
    fn announce(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let read = self.read_structure(bits);
        if read.is_none() {
            *self = Self::default();
        }
        read
    }

    fn read_structure(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.offset = bits.read(6)? as u8;
        let targets = bits.read(5)? as usize + 1;
        self.read_layers(bits)?;
        for template in &mut self.templates[..self.template_count] {
            template.indications = read_indications(bits, targets)?;
        }
        for template in &mut self.templates[..self.template_count] {
            while bits.flag()? {
                template.references |= 1 << bits.read(4)?;
            }
        }
        self.read_chains(bits, targets)?;
        self.name_targets(targets);
        self.sizes = [None; LAYERS];
        if bits.flag()? {
            for spatial in 0..usize::from(self.spatial_layers) {
                let size = Size {
                    width: (bits.read(16)? as u16).saturating_add(1),
                    height: (bits.read(16)? as u16).saturating_add(1),
                };
                if let Some(known) = self.sizes.get_mut(spatial) {
                    *known = Some(size);
                }
            }
        }
        Some(())
    }

    fn read_layers(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.template_count = 0;
        let mut template = Template::default();
        loop {
            *self.templates.get_mut(self.template_count)? = template;
            self.template_count += 1;
            match bits.read(2)? {
                0 => {}
                1 => template.temporal += 1,
                2 => {
                    template.temporal = 0;
                    template.spatial += 1;
                }
                _ => break,
            }
        }
        self.spatial_layers = template.spatial + 1;
        Some(())
    }

    /// Chains say early what is lost; a receiver uses them, we pass over them (A.8.3).
    fn read_chains(&mut self, bits: &mut Bits<'_>, targets: usize) -> Option<()> {
        let chains = bits.below(targets as u32 + 1)?;
        if chains == 0 {
            return Some(());
        }
        for _ in 0..targets {
            bits.below(chains)?;
        }
        bits.skip(4 * chains as usize * self.template_count)
    }

    /// A decode target is as high as the highest frame that is present in it (A.8.3).
    fn name_targets(&mut self, count: usize) {
        self.target_count = count.min(MAX_TARGETS);
        for (target, highest) in self.targets[..self.target_count].iter_mut().enumerate() {
            let templates = self.templates[..self.template_count].iter();
            let present = templates.filter(|t| t.indications >> (2 * target) & 3 != 0);
            *highest = present.fold((0, 0), |(spatial, temporal), template| {
                (
                    spatial.max(template.spatial),
                    temporal.max(template.temporal),
                )
            });
        }
        for spatial in 0..LAYERS {
            for temporal in 0..LAYERS {
                let active = self.active(spatial, temporal).targets;
                let within = (0..self.target_count).filter(|index| active >> index & 1 != 0);
                let best = within.max_by_key(|index| self.targets[*index]);
                self.by_layer[spatial][temporal] = best.map(|index| index as u8);
            }
        }
    }
}

/// What follows the mandatory fields (A.8.2).
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    structure: bool,
    active: bool,
    indications: bool,
    references: bool,
    chains: bool,
}

impl Flags {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        Some(Self {
            structure: bits.flag()?,
            active: bits.flag()?,
            indications: bits.flag()?,
            references: bits.flag()?,
            chains: bits.flag()?,
        })
    }

    fn write(self, out: &mut BitsMut<'_>) -> Option<()> {
        for flag in [
            self.structure,
            self.active,
            self.indications,
            self.references,
            self.chains,
        ] {
            out.write(flag.into(), 1)?;
        }
        Some(())
    }
}

fn read_indications(bits: &mut Bits<'_>, targets: usize) -> Option<u64> {
    let mut indications = 0;
    for target in 0..targets {
        indications |= u64::from(bits.read(2)?) << (2 * target);
    }
    Some(indications)
}

/// Reads `frame_fdiffs()` (A.8.4).
fn read_references(bits: &mut Bits<'_>) -> Option<u64> {
    let mut references = 0;
    loop {
        let size = bits.read(2)? as usize;
        if size == 0 {
            return Some(references);
        }
        let distance = bits.read(4 * size)?;
        references |= 1u64.checked_shl(distance).unwrap_or(0);
    }
}

/// The decode targets that are still sent: all that is left for a receiver to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// As bits, the first target the lowest one.
    pub targets: u32,
    /// How many there are in all.
    pub count: usize,
}

impl Active {
    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.targets.count_ones() as usize == self.count
    }
}

/// Copies a descriptor with its frame number shifted. With `active`, it also says which decode
/// targets are left (A.8.2), in place of what it said. Returns the copy's length; `None` if the
/// descriptor is cut or its copy would be too long.
pub fn rewrite(
    descriptor: &[u8],
    shift: u16,
    active: Option<Active>,
    out: &mut [u8; MAX_LEN],
) -> Option<usize> {
    let mandatory: [u8; MANDATORY_LEN] = *descriptor.first_chunk()?;
    let number = u16::from_be_bytes([mandatory[1], mandatory[2]]).wrapping_add(shift);
    let len = match active.filter(|active| active.count > 0) {
        Some(active) => rewrite_active(descriptor, active, out)?,
        None => {
            out.get_mut(..descriptor.len())?.copy_from_slice(descriptor);
            descriptor.len()
        }
    };
    out[1..MANDATORY_LEN].copy_from_slice(&number.to_be_bytes());
    Some(len)
}

fn rewrite_active(descriptor: &[u8], active: Active, out: &mut [u8; MAX_LEN]) -> Option<usize> {
    let mut bits = Bits::new(descriptor);
    let mut out = BitsMut::new(out);
    out.copy(&mut bits, 8 * MANDATORY_LEN)?;
    let flags = match descriptor.len() > MANDATORY_LEN {
        true => Flags::read(&mut bits)?,
        false => Flags::default(),
    };
    Flags {
        active: true,
        ..flags
    }
    .write(&mut out)?;
    if flags.structure {
        let start = bits;
        let mut structure = Structure::default();
        structure.announce(&mut bits)?;
        if structure.target_count != active.count {
            return None;
        }
        out.copy(&mut { start }, bits.position() - start.position())?;
    }
    out.write(active.targets, active.count)?;
    if flags.active {
        bits.skip(active.count)?;
    }
    let rest = bits.left();
    out.copy(&mut bits, rest)?;
    Some(out.finish())
}
