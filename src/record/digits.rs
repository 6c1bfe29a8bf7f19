//! Reads the parts of times in text: numbers of digits, fractions of a second, offsets from UTC. Never past the end.

pub struct Reader<'t> {
    pub text: &'t [u8],
    pub at: usize,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t [u8]) -> Reader<'t> {
        Reader { text, at: 0 }
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A number of exactly so many digits, at most 19.
    pub fn digits(&mut self, count: usize) -> Option<u64> {
        let digits = self.text.get(self.at..self.at + count)?;
        let mut number = 0;
        for digit in digits {
            number = number * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        self.at += count;
        Some(number)
    }

    pub fn two(&mut self) -> Option<u8> {
        self.digits(2).map(|number| number as u8)
    }

    /// Nanoseconds of a fraction's digits, at least one; those past the ninth are read and forgotten.
    pub fn nanos(&mut self) -> Option<u32> {
        let (mut nanos, mut count) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if count < 9 {
                nanos = nanos * 10 + u32::from(digit - b'0');
                count += 1;
            }
            self.at += 1;
        }
        (count > 0).then(|| nanos * 10_u32.pow(9 - count))
    }

    /// Seconds east of Greenwich: `Z`, `+08:00`, `+0800`, `+08`, or nothing.
    pub fn offset(&mut self) -> Option<i32> {
        let sign = match self.peek()? {
            b'Z' | b'z' => {
                self.at += 1;
                return Some(0);
            }
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let start = self.at;
        self.at += 1;
        let hours = self.two();
        let has_colon = self.take(b':').is_some();
        let minutes = match self.two() {
            None if has_colon => None,
            minutes => Some(minutes.unwrap_or(0)),
        };
        match (hours, minutes) {
            (Some(hours @ 0..=23), Some(minutes @ 0..=59)) => {
                Some(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60))
            }
            _ => {
                self.at = start;
                None
            }
        }
    }
}
