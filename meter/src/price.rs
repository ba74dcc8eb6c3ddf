//! The price of one client command in ECPUs: a pure function of its bytes and its work. docs/metering.md explains it.

use std::str::FromStr;

use swell_engine::commands::table::{Command, tables};
use swell_engine::spec::{CommandId, Group, Pricing, WorkUnit};

use crate::coefficients::{Coefficients, ELASTICACHE, SWELL};

/// Bytes that one ECPU moves.
pub const KILOBYTE: u64 = 1024;
/// Thousandths in an ECPU: also the least that a metered command costs.
pub const MILLI: u64 = 1000;

/// Whose rules turn bytes and work into ECPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// ElastiCache Serverless: its fixed-cost and unmetered lists, vCPU time as Valkey spends it.
    #[default]
    Elasticache,
    /// Every command by the vCPU time that this engine spends.
    Swell,
}

/// A word that names no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no price profile \"{0}\": elasticache or swell")]
pub struct UnknownProfile(String);

/// The rules of a profile, resolved for every command. Made once, shared by all workers.
#[derive(Clone, Debug)]
pub struct Tariff {
    profile: Profile,
    rules: Box<[Rule]>,
    baseline_ns: u64,
}

/// How one command is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// `max(1, KB)`.
    Fixed,
    /// Nothing.
    Free,
    /// `max(1, KB, work)`.
    Items,
    /// `max(1, KB, (base + unit × work) / baseline)`.
    Variable { base_ns: u32, unit_ns: u32 },
}

impl Profile {
    /// The name in options and on bills.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Elasticache => "elasticache",
            Profile::Swell => "swell",
        }
    }

    /// The table of measured vCPU times that belongs to it.
    pub fn coefficients(self) -> &'static Coefficients {
        match self {
            Profile::Elasticache => &ELASTICACHE,
            Profile::Swell => &SWELL,
        }
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(word: &str) -> Result<Self, UnknownProfile> {
        [Profile::Elasticache, Profile::Swell]
            .into_iter()
            .find(|profile| profile.name() == word)
            .ok_or_else(|| UnknownProfile(word.to_owned()))
    }
}

impl Tariff {
    /// The rules of a profile with the coefficients that ship.
    pub fn new(profile: Profile) -> Tariff {
        Tariff::with_coefficients(profile, profile.coefficients())
    }

    /// The rules of a profile with other vCPU times, for what-if questions.
    pub fn with_coefficients(profile: Profile, coefficients: &Coefficients) -> Tariff {
        let rules = tables().iter().map(|command| rule(profile, coefficients, command)).collect();
        Tariff { profile, rules, baseline_ns: u64::from(coefficients.baseline_ns.max(1)) }
    }

    /// Whose rules these are.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The price of one client command in thousandths of an ECPU, rounded half up.
    ///
    /// `data_bytes`: bytes of values in and data out, without keys and framing. `work`: what the engine counted, all
    /// parts of a split command together. A number that no command has costs nothing.
    #[inline]
    pub fn ecpu_milli(&self, id: CommandId, data_bytes: u64, work: u64) -> u64 {
        match self.rules.get(id.0 as usize) {
            Some(Rule::Fixed) if data_bytes <= KILOBYTE => MILLI,
            Some(rule) => self.price(*rule, data_bytes, work),
            None => 0,
        }
    }

    /// Rounding each part gives what rounding the dearest once would: rounding keeps the order.
    #[inline(never)]
    fn price(&self, rule: Rule, data_bytes: u64, work: u64) -> u64 {
        let by_bytes = divided_half_up(data_bytes.saturating_mul(MILLI), KILOBYTE).max(MILLI);
        match rule {
            Rule::Free => 0,
            Rule::Fixed => by_bytes,
            Rule::Items => by_bytes.max(work.saturating_mul(MILLI)),
            Rule::Variable { base_ns, unit_ns } => {
                let vcpu_ns = u64::from(unit_ns).saturating_mul(work).saturating_add(u64::from(base_ns));
                by_bytes.max(divided_half_up(vcpu_ns.saturating_mul(MILLI), self.baseline_ns))
            }
        }
    }
}

fn rule(profile: Profile, coefficients: &Coefficients, command: Command) -> Rule {
    let spec = command.spec;
    match (spec.group, profile, spec.cost.elasticache) {
        (Group::Memcached, _, _) if spec.cost.work == WorkUnit::Key => Rule::Items,
        (Group::Memcached, _, _) => Rule::Fixed,
        (_, Profile::Elasticache, Pricing::Fixed) => Rule::Fixed,
        (_, Profile::Elasticache, Pricing::Free) => Rule::Free,
        (_, Profile::Elasticache, Pricing::Variable) | (_, Profile::Swell, _) => variable(coefficients, spec.name),
    }
}

/// A command whose vCPU can never be above one baseline is a fixed one, which is cheaper to see.
fn variable(coefficients: &Coefficients, name: &str) -> Rule {
    match coefficients.of(name) {
        Some(row) if row.unit_ns > 0 || row.base_ns > coefficients.baseline_ns => {
            Rule::Variable { base_ns: row.base_ns, unit_ns: row.unit_ns }
        }
        _ => Rule::Fixed,
    }
}

fn divided_half_up(amount: u64, by: u64) -> u64 {
    amount.saturating_add(by / 2) / by
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coefficients::Coefficient;

    /// Not to be lowered by the engine: more than any command could do.
    const LARGE: u64 = 1 << 50;

    fn resp(name: &str) -> CommandId {
        tables().resp.by_name(name.as_bytes()).expect(name).id
    }

    fn memcached(name: &str) -> CommandId {
        tables().memcached.by_name(name.as_bytes()).expect(name).id
    }

    fn one_baseline_a_unit() -> Coefficients {
        static ROWS: &[Coefficient] = &[Coefficient { name: "mget", base_ns: 0, unit_ns: 1000 }];
        Coefficients { baseline_ns: 1000, rows: ROWS }
    }

    #[test]
    fn bytes_are_rounded_half_up_to_thousandths() {
        let tariff = Tariff::new(Profile::Elasticache);
        // 64 bytes are 62.5 thousandths of 1024: at every odd multiple of 64 beyond the first kilobyte a half is met.
        for (bytes, milli) in [
            (0, 1000),
            (1024, 1000),
            (1025, 1001),
            (1087, 1062),
            (1088, 1063),
            (1536, 1500),
            (3277, 3200),
            (10_240, 10_000),
        ] {
            assert_eq!(tariff.ecpu_milli(resp("get"), bytes, 1), milli, "{bytes} bytes");
        }
    }

    #[test]
    fn vcpu_time_is_rounded_half_up_to_thousandths() {
        static ROWS: &[Coefficient] = &[Coefficient { name: "mget", base_ns: 0, unit_ns: 1 }];
        for (baseline_ns, work, milli) in
            [(2000, 2001, 1001), (2000, 2003, 1002), (3000, 3001, 1000), (3000, 3002, 1001)]
        {
            let tariff = Tariff::with_coefficients(Profile::Elasticache, &Coefficients { baseline_ns, rows: ROWS });
            assert_eq!(tariff.ecpu_milli(resp("mget"), 0, work), milli, "{work} of {baseline_ns}");
        }
    }

    #[test]
    fn the_dearest_part_counts_never_the_sum() {
        let tariff = Tariff::with_coefficients(Profile::Elasticache, &one_baseline_a_unit());
        assert_eq!(tariff.ecpu_milli(resp("mget"), 3277, 3), 3200);
        assert_eq!(tariff.ecpu_milli(resp("mget"), 2048, 3), 3000);
        assert_eq!(tariff.ecpu_milli(memcached("get"), 3277, 3), 3200);
        assert_eq!(tariff.ecpu_milli(memcached("get"), 2048, 3), 3000);
    }

    #[test]
    fn profiles_differ_in_lists_and_agree_on_memcached() {
        let (elasticache, swell) = (Tariff::new(Profile::Elasticache), Tariff::new(Profile::Swell));
        let free = resp("object|encoding");
        assert_eq!((elasticache.ecpu_milli(free, LARGE, 9), swell.ecpu_milli(free, 0, 1)), (0, 1000));
        for name in ["get", "set", "delete", "flush_all"] {
            for work in [1, 7] {
                let id = memcached(name);
                assert_eq!(elasticache.ecpu_milli(id, 100, work), swell.ecpu_milli(id, 100, work));
            }
        }
        assert_eq!(swell.ecpu_milli(memcached("flush_all"), 0, 5000), 1000, "a call is no item");
        assert_eq!(swell.ecpu_milli(resp("get"), 100, 1), 1000);
        assert_eq!(swell.ecpu_milli(resp("set"), 100, 1), 1000);
    }

    #[test]
    fn a_number_without_command_costs_nothing() {
        assert_eq!(Tariff::new(Profile::Swell).ecpu_milli(CommandId(u16::MAX), 5000, 5), 0);
    }

    #[test]
    fn profiles_are_found_by_name() {
        for profile in [Profile::Elasticache, Profile::Swell] {
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        let refusal = "aws".parse::<Profile>().unwrap_err();
        assert_eq!(refusal.to_string(), "there is no price profile \"aws\": elasticache or swell");
    }

    fn any_call() -> impl Strategy<Value = (CommandId, Profile)> {
        let profile = prop_oneof![Just(Profile::Elasticache), Just(Profile::Swell)];
        ((0..tables().len() as u16).prop_map(CommandId), profile)
    }

    proptest! {
        #[test]
        fn more_bytes_or_work_never_cost_less(
            (id, profile) in any_call(),
            bytes in 0..u64::MAX, more_bytes in 0..LARGE,
            work in 0..u64::MAX, more_work in 0..LARGE,
        ) {
            let tariff = Tariff::new(profile);
            let price = tariff.ecpu_milli(id, bytes, work);
            prop_assert!(tariff.ecpu_milli(id, bytes.saturating_add(more_bytes), work) >= price);
            prop_assert!(tariff.ecpu_milli(id, bytes, work.saturating_add(more_work)) >= price);
        }

        #[test]
        fn a_metered_command_costs_one_at_least_and_its_kilobytes(
            (id, profile) in any_call(), bytes in 0..LARGE, work in 1..LARGE,
        ) {
            let price = Tariff::new(profile).ecpu_milli(id, bytes, work);
            let exact = bytes as f64 * 1000.0 / 1024.0;
            prop_assert!(price == 0 || price >= 1000 && price as f64 >= exact - 0.5);
            let is_free = tables().by_id(id).unwrap().spec.cost.elasticache == Pricing::Free;
            prop_assert_eq!(price == 0, profile == Profile::Elasticache && is_free);
        }

        #[test]
        fn rounding_the_parts_is_rounding_the_dearest_once(bytes in 0..LARGE, work in 0..1_000_000u64) {
            let tariff = Tariff::new(Profile::Elasticache);
            let row = ELASTICACHE.of("mget").unwrap();
            // Both parts over one denominator, so that the greater is rounded as a whole.
            let denominator = u128::from(KILOBYTE) * u128::from(ELASTICACHE.baseline_ns);
            let by_bytes = u128::from(bytes) * 1000 * u128::from(ELASTICACHE.baseline_ns);
            let vcpu_ns = u128::from(row.base_ns) + u128::from(row.unit_ns) * u128::from(work);
            let dearest = by_bytes.max(vcpu_ns * 1000 * u128::from(KILOBYTE)).max(1000 * denominator);
            let rounded = (2 * dearest + denominator) / (2 * denominator);
            prop_assert_eq!(u128::from(tariff.ecpu_milli(resp("mget"), bytes, work)), rounded);
        }
    }
}
