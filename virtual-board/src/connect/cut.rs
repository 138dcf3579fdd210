//! Power cuts as text, on the command line and on the control socket.

use super::symbols::Symbols;
use std::ops::Range;
use virtual_board::{Cut, CutOutcome, CutPoint, CutTrigger, Ticks};

/// What a cut looks like, for people.
pub(crate) const SYNTAX: &str = "\
  time=DURATION             at this simulated time, like 250ms
  operation=N               in the program or erase with this number, from 0
  command=N                 in the flash command of any kind with this number, from 0
  address=FROM..TO          in the next flash command that touches these addresses
  pc=ADDRESS                before the instruction at this address or symbol is executed
  console=TEXT              when UART0 has sent this text, which takes the rest of the line
The first four may be followed by
  ,fraction=F               part of the operation's busy time that passes, 0 to 1 [default: 0.5]
  ,seed=N                   which bits a torn operation changes [default: 0]";

/// Understands a cut.
///
/// # Errors
/// With what is wrong, for people.
pub(crate) fn parse(text: &str, symbols: &Symbols) -> Result<Cut, String> {
    let (key, rest) = text.split_once('=').ok_or_else(|| format!("'{text}' is no power cut"))?;
    if key == "console" {
        if rest.is_empty() {
            return Err("console= needs a text".into());
        }
        let point = CutPoint::Console(rest.as_bytes().to_vec());
        return Ok(Cut { point, outcome: CutOutcome::Elapsed { seed: 0 } });
    }
    let mut parts = rest.split(',');
    let value = parts.next().unwrap_or_default();
    let point = match key {
        "time" => CutPoint::Time(Ticks::from_duration(duration(value)?)),
        "operation" => CutPoint::Flash(CutTrigger::Operation(number(value)?)),
        "command" => CutPoint::Flash(CutTrigger::Command(number(value)?)),
        "address" => CutPoint::Flash(CutTrigger::Touch(range(value)?)),
        "pc" => CutPoint::Instruction(symbols.address(value)?),
        _ => {
            let keys = "time, operation, command, address, pc, console";
            return Err(format!("'{key}' is no kind of power cut; there are {keys}"));
        }
    };
    let mut fraction = None;
    let mut seed = 0;
    for part in parts {
        match part.split_once('=') {
            Some(("fraction", value)) => fraction = Some(self::fraction(value)?),
            Some(("seed", value)) => seed = number(value)?,
            _ => return Err(format!("'{part}' is neither fraction=F nor seed=N")),
        }
    }
    let outcome = match (&point, fraction) {
        (CutPoint::Flash(_), _) => CutOutcome::Fraction { fraction: fraction.unwrap_or(0.5), seed },
        (_, Some(fraction)) => CutOutcome::Fraction { fraction, seed },
        (_, None) => CutOutcome::Elapsed { seed },
    };
    Ok(Cut { point, outcome })
}

/// A duration like `1s 500ms`.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("'{text}' is no duration like 2s or 250ms"))
}

/// A number, decimal or with 0x.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("'{text}' is no number"))
}

/// A 32-bit address, decimal or with 0x.
pub(crate) fn address(text: &str) -> Result<u32, String> {
    number(text)?.try_into().map_err(|_| format!("'{text}' has more than 32 bits"))
}

fn range(text: &str) -> Result<Range<u32>, String> {
    let complaint = || format!("'{text}' is no address range like 0xd000..0xf000");
    let (from, to) = text.split_once("..").ok_or_else(complaint)?;
    let range = address(from)?..address(to)?;
    if range.is_empty() { Err(complaint()) } else { Ok(range) }
}

fn fraction(text: &str) -> Result<f64, String> {
    let parsed: Option<f64> = text.parse().ok();
    parsed
        .filter(|fraction| (0.0..=1.0).contains(fraction))
        .ok_or_else(|| format!("'{text}' is no fraction from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Result<Cut, String> {
        parse(text, &Symbols::default())
    }

    #[test]
    fn all_kinds() {
        let elapsed = CutOutcome::Elapsed { seed: 0 };
        let half = CutOutcome::Fraction { fraction: 0.5, seed: 0 };
        let flash = |trigger| CutPoint::Flash(trigger);
        let time = |micros| CutPoint::Time(Ticks(Ticks::PER_MICROSECOND * micros));
        let quarter = CutOutcome::Fraction { fraction: 0.25, seed: 7 };
        let cases = [
            ("time=1s 2ms", time(1_002_000), elapsed.clone()),
            ("time=5us,fraction=0.25,seed=7", time(5), quarter.clone()),
            ("operation=12", flash(CutTrigger::Operation(12)), half.clone()),
            ("operation=12,fraction=0.25,seed=7", flash(CutTrigger::Operation(12)), quarter),
            ("command=0x10", flash(CutTrigger::Command(16)), half.clone()),
            ("address=0xd000..0xf000", flash(CutTrigger::Touch(0xD000..0xF000)), half),
            ("pc=0x42000020", CutPoint::Instruction(0x4200_0020), elapsed.clone()),
            ("console=a,b = c", CutPoint::Console(b"a,b = c".to_vec()), elapsed),
        ];
        for (text, point, outcome) in cases {
            assert_eq!(cut(text), Ok(Cut { point, outcome }), "{text}");
        }
    }

    #[test]
    fn complaints_name_the_mistake() {
        for (text, complaint) in [
            ("", "'' is no power cut"),
            ("tomorrow", "'tomorrow' is no power cut"),
            ("moon=full", "'moon' is no kind"),
            ("time=5", "'5' is no duration"),
            ("operation=-1", "'-1' is no number"),
            ("address=5", "'5' is no address range"),
            ("address=5..5", "'5..5' is no address range"),
            ("address=0..0x100000000", "'0x100000000' has more than 32 bits"),
            ("pc=main", "no symbol 'main'"),
            ("console=", "console= needs a text"),
            ("operation=1,fraction=2", "'2' is no fraction"),
            ("operation=1,fraction=nan", "'nan' is no fraction"),
            ("operation=1,half", "'half' is neither"),
        ] {
            let error = cut(text).unwrap_err();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
