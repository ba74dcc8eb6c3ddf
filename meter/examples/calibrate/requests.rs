//! Data sets, and requests on them made from templates such as `hmget $h100 {10:$e}`.

use std::collections::HashMap;

/// The words of a request.
pub type Request = Vec<Vec<u8>>;

/// Elements of all the keys of a data set together, about.
const ELEMENTS: u64 = 1_000_000;
/// Bytes of all its keys together, for values that are one string.
const BYTES: u64 = 100_000_000;
const WELL_FORMED: &str = "the templates are well formed";
/// Before a data set: what DUMP answers for its first key.
const DUMP: &str = "dump-";
/// Elements that one request loads.
const LOAD_MANY: u64 = 500;

/// Keys of one type with equally many elements: `h100` in a template is `$h100`.
///
/// h hash, e hash whose fields expire, s set, t set that shares half of its members with s, i set of integers, z and y
/// sorted sets like s and t, l list, x stream, w stream with a group that has read nothing, q stream with a group that
/// has acknowledged nothing, g places, p HyperLogLog, b bytes of a bitmap, v bytes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dataset {
    kind: char,
    size: u64,
}

/// Makes requests. Two with the same seed make the same ones.
#[derive(Debug)]
pub struct Maker {
    /// No data set has more keys.
    keys_max: u64,
    random: u64,
    fresh: u64,
    /// Of the key named last.
    dataset: Dataset,
    element: u64,
    /// What DUMP has answered, by key.
    dumps: HashMap<String, Vec<u8>>,
}

impl Dataset {
    fn parse(word: &str) -> Option<Dataset> {
        let kind = word.chars().next().filter(|kind| "hestizylxwqrkgpbv".contains(*kind))?;
        Some(Dataset { kind, size: word[1..].parse().ok()? })
    }

    /// Those that a template needs.
    pub fn of_template(template: &str) -> Vec<Dataset> {
        let words = template.split([' ', ':', '{', '}']).filter_map(|word| word.strip_prefix('$'));
        words.filter_map(|word| Dataset::parse(word.strip_prefix(DUMP).unwrap_or(word))).collect()
    }

    /// The value of each of its keys, for those that are strings.
    fn bytes(self) -> Vec<u8> {
        // Bits that are not set are looked for to the last one.
        let byte = |at: u64| if self.kind == 'b' { u8::from(at + 1 == self.size) } else { b'a' + (at * 7 % 23) as u8 };
        (0..self.size).map(byte).collect()
    }

    /// The requests that make one of its keys what it was.
    pub fn load(self, key: &str) -> Vec<Request> {
        let mut requests = vec![request(&["del", key])];
        let mut begin = 0;
        while begin < self.size {
            let numbers = begin..self.size.min(begin + LOAD_MANY);
            begin = numbers.end;
            let mut add = |head: &[&str], words: &dyn Fn(u64) -> Vec<String>| {
                let mut request = request(head);
                numbers.clone().for_each(|number| request.extend(words(number).into_iter().map(String::into_bytes)));
                requests.push(request);
            };
            match self.kind {
                'h' | 'e' => add(&["hset", key], &|number| vec![element(number), value(number)]),
                's' => add(&["sadd", key], &|number| vec![element(number)]),
                't' => add(&["sadd", key], &|number| vec![element(number + self.size / 2)]),
                'i' => add(&["sadd", key], &|number| vec![(number * 7).to_string()]),
                'z' => add(&["zadd", key], &|number| vec![number.to_string(), element(number)]),
                'y' => add(&["zadd", key], &|number| vec![number.to_string(), element(number + self.size / 2)]),
                'l' => add(&["rpush", key], &|number| vec![element(number)]),
                'p' => add(&["pfadd", key], &|number| vec![format!("{key}{number}")]),
                'g' => add(&["geoadd", key], &|number| {
                    vec![
                        format!("15.{:03}", number * 37 % 1000),
                        format!("37.{:03}", number * 71 % 1000),
                        element(number),
                    ]
                }),
                'x' | 'w' | 'q' => requests.extend(numbers.map(|number| {
                    request(&["xadd", key, &format!("{}-0", number + 1), "field", &value(number), "other", "value"])
                })),
                'r' => requests.extend(
                    numbers.map(|number| request(&["xgroup", "create", key, &element(number), "0", "mkstream"])),
                ),
                'k' => {
                    let consumers = numbers.map(element);
                    requests.push(request(&["xgroup", "create", key, "g", "0", "mkstream"]));
                    requests.extend(consumers.map(|name| request(&["xgroup", "createconsumer", key, "g", &name])));
                }
                _ => {
                    requests.push(vec![b"set".to_vec(), key.into(), self.bytes()]);
                    break;
                }
            }
        }
        match self.kind {
            'e' => {
                let mut expire = request(&["hexpire", key, "100000", "fields", &self.size.to_string()]);
                expire.extend((0..self.size).map(|number| element(number).into_bytes()));
                requests.push(expire);
            }
            'w' | 'q' => requests.push(request(&["xgroup", "create", key, "g", "0"])),
            _ => {}
        }
        if self.kind == 'q' {
            requests.push(request(&["xreadgroup", "group", "g", "c", "streams", key, ">"]));
        }
        requests
    }
}

impl Maker {
    pub fn new(keys_max: u64) -> Maker {
        let dataset = Dataset { kind: 'v', size: 1 };
        Maker { keys_max, random: 0x2545_f491_4f6c_dd1d, fresh: 0, dataset, element: 0, dumps: HashMap::new() }
    }

    /// The requests that fill a data set.
    pub fn load(&self, dataset: Dataset) -> impl Iterator<Item = Request> + use<> {
        (0..self.keys(dataset)).flat_map(move |number| dataset.load(&key(dataset, number)))
    }

    /// The keys whose DUMP a template needs; to be told before a request is made of it.
    pub fn dumps_wanted(template: &str) -> Vec<String> {
        let datasets =
            template.split(' ').filter_map(|word| Dataset::parse(word.strip_prefix('$')?.strip_prefix(DUMP)?));
        datasets.map(|dataset| key(dataset, 0)).collect()
    }

    pub fn tell_dump(&mut self, key: String, payload: Vec<u8>) {
        self.dumps.insert(key, payload);
    }

    pub fn request(&mut self, template: &str) -> Request {
        repeated(template).iter().map(|word| self.word(word)).collect()
    }

    /// What has to be run after a request that writes, so that the data sets are what they were.
    pub fn undo(&self, request: &Request) -> Vec<Request> {
        let keys = request.iter().filter_map(|word| std::str::from_utf8(word).ok());
        keys.filter_map(|key| key.split_once(':').map(|(kind, _)| (key, kind)))
            .flat_map(|(key, kind)| match Dataset::parse(kind) {
                Some(dataset) => dataset.load(key),
                None if kind == "new" => vec![vec![b"del".to_vec(), key.into()]],
                None => Vec::new(),
            })
            .collect()
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        let Some(name) = word.strip_prefix('$') else { return word.into() };
        match name {
            "new" => {
                self.fresh += 1;
                format!("new:{:012}", self.fresh).into_bytes()
            }
            // One element after the other, none twice in a request.
            "e" => {
                self.element += 1;
                element(self.element % self.dataset.size).into_bytes()
            }
            "id" => {
                self.element += 1;
                format!("{}-0", self.element % self.dataset.size + 1).into_bytes()
            }
            "n" => {
                self.fresh += 1;
                format!("n:{:08}", self.fresh).into_bytes()
            }
            "same" => self.dataset.bytes(),
            _ => {
                let dumped = name.strip_prefix(DUMP);
                let dataset = Dataset::parse(dumped.unwrap_or(name)).expect(WELL_FORMED);
                if dumped.is_some() {
                    return self.dumps[&key(dataset, 0)].clone();
                }
                self.dataset = dataset;
                self.element = self.random() % dataset.size;
                let number = self.random() % self.keys(dataset);
                key(dataset, number).into_bytes()
            }
        }
    }

    fn keys(&self, dataset: Dataset) -> u64 {
        let keys = match dataset.kind {
            'v' | 'b' => (BYTES / dataset.size).clamp(100, 1_000_000),
            // A dense one takes 12 KB, a sparse one has few registers.
            'p' => 1000,
            _ => (ELEMENTS / dataset.size).clamp(100, 50_000),
        };
        keys.min(self.keys_max)
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

/// The words of a template: `{3:a b}` is `a b a b a b`.
fn repeated(template: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = template;
    while let Some((before, group)) = rest.split_once('{') {
        let (group, after) = group.split_once('}').expect(WELL_FORMED);
        let (times, group) = group.split_once(':').expect(WELL_FORMED);
        words.extend(before.split_whitespace().map(str::to_owned));
        for _ in 0..times.parse::<usize>().expect("a number") {
            words.extend(group.split_whitespace().map(str::to_owned));
        }
        rest = after;
    }
    words.extend(rest.split_whitespace().map(str::to_owned));
    words
}

fn key(dataset: Dataset, number: u64) -> String {
    format!("{}{}:{number:08}", dataset.kind, dataset.size)
}

fn element(number: u64) -> String {
    format!("m:{number:06}")
}

fn value(number: u64) -> String {
    format!("value:{number:08}")
}

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}
