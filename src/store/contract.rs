//! What every [`ChunkStore`] must do: one suite for all of them, those of other crates included.
//!
//! Each case is given a store of its own, with nothing in it.

use std::{collections::HashSet, fmt, slice, sync::Arc};

use bytes::Bytes;

use super::{ChunkStore, Origin, PublishedName, StoreError, TrashKey};
use crate::upload::{
    ByteRange, CreativeId, DeploymentId, FileName, Mark, Timestamp, TrashId, UploadId, limits,
};

macro_rules! run_each {
    ($make:ident: $($case:ident),+ $(,)?) => {
        $({
            let (store, _guard) = $make().await;
            $case(store).await;
        })+
    };
}

/// Runs the whole suite; panics at the first promise that is not kept.
///
/// `make` gives an empty store and whatever must live as long as the store does (a folder that is
/// removed when it is dropped, say).
pub async fn run_all<F, Fut, Guard>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = (Arc<dyn ChunkStore>, Guard)>,
{
    run_each!(make:
        a_new_upload_has_its_length_and_nothing_else,
        an_upload_without_bytes_is_one,
        an_upload_begins_anew,
        an_upload_without_room_is_not_made,
        an_upload_may_grow,
        ranges_come_in_any_order,
        frames_follow_one_another,
        writers_of_different_ranges_do_not_meet,
        nothing_is_written_past_the_end,
        a_read_is_exact,
        a_sync_answers_for_each_upload,
        syncs_may_overlap,
        a_published_file_is_whole,
        publishing_may_be_repeated,
        publishing_never_replaces,
        discarding_may_be_repeated,
        unpublishing_may_be_repeated,
        what_is_not_there_is_not_found,
        lists_tell_uploads_from_files,
        a_store_is_marked_and_marked_again,
        a_store_knows_its_room_and_that_it_can_be_written_to,
        what_is_set_aside_stays_as_it_was_and_comes_back,
        setting_aside_may_be_repeated,
        nothing_is_brought_back_over_a_file,
        emptying_may_be_repeated,
    );
}

async fn a_new_upload_has_its_length_and_nothing_else(store: Arc<dyn ChunkStore>) {
    let id = UploadId::new();
    assert_eq!(store.len(id).await.expect("len"), None);
    store.create(id, 100_000).await.expect("create");
    assert_eq!(store.len(id).await.expect("len"), Some(100_000));
    assert_eq!(read(&*store, id, 0, 100_000).await, vec![0; 100_000]);
}

async fn an_upload_without_bytes_is_one(store: Arc<dyn ChunkStore>) {
    let (id, name) = (UploadId::new(), name("nothing.txt"));
    store.create(id, 0).await.expect("create");
    store.write(id, 0, Vec::new()).await.expect("write no frame");
    store.write(id, 0, vec![Bytes::new()]).await.expect("write an empty frame");
    assert_eq!(store.len(id).await.expect("len"), Some(0));
    assert_eq!(read(&*store, id, 0, 0).await, b"");
    assert_all_synced(&store.sync(&[id]).await);
    store.publish(id, &name).await.expect("publish");
    assert_eq!(store.published_len(&name).await.expect("len"), Some(0));
    assert_eq!(read_published(&*store, &name, 0, 0).await, b"");
}

async fn an_upload_begins_anew(store: Arc<dyn ChunkStore>) {
    let id = UploadId::new();
    for total in [5, 9, 3] {
        store.create(id, total).await.expect("create");
        assert_eq!(store.len(id).await.expect("len"), Some(total));
        assert_eq!(read(&*store, id, 0, total).await, vec![0; len(total)]);
        write(&*store, id, 0, &vec![b'x'; len(total)]).await;
        assert_all_synced(&store.sync(&[id]).await);
    }
    store.discard(id).await.expect("discard");
    store.create(id, 4).await.expect("create after a discard");
    assert_eq!(read(&*store, id, 0, 4).await, [0; 4]);
}

async fn an_upload_may_grow(store: Arc<dyn ChunkStore>) {
    let id = UploadId::new();
    store.create(id, 0).await.expect("create");
    store.grow(id, 3).await.expect("grow");
    store.write(id, 0, vec![Bytes::from_static(b"abc")]).await.expect("write");
    store.grow(id, 6).await.expect("grow");
    store.grow(id, 1).await.expect("it is longer already");
    store.write(id, 3, vec![Bytes::from_static(b"def")]).await.expect("write");
    assert_eq!(store.len(id).await.expect("len"), Some(6));
    assert_eq!(read(&*store, id, 0, 6).await, b"abcdef");
    let too_much = store.grow(id, 1 << 61).await.expect_err("there is no room");
    assert!(matches!(too_much, StoreError::NoSpace { .. }), "{too_much:?}");
    assert_eq!(read(&*store, id, 0, 6).await, b"abcdef");
}

async fn an_upload_without_room_is_not_made(store: Arc<dyn ChunkStore>) {
    let (id, there) = (UploadId::new(), UploadId::new());
    let error = store.create(id, i64::MAX as u64 / 2).await.expect_err("half of all there can be");
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
    assert_eq!(store.len(id).await.expect("len"), None);
    store.create(there, 1).await.expect("create");
    assert_eq!(store.uploads().await.expect("uploads"), [there]);
}

async fn ranges_come_in_any_order(store: Arc<dyn ChunkStore>) {
    let id = upload_of(&*store, 12).await;
    for (offset, bytes) in [(8, &b"ijkl"[..]), (0, b"ab"), (5, b"fgh"), (2, b"cde")] {
        write(&*store, id, offset, bytes).await;
        assert_eq!(read(&*store, id, offset, bytes.len() as u64).await, bytes);
    }
    assert_eq!(read(&*store, id, 0, 12).await, b"abcdefghijkl");
    assert_eq!(store.len(id).await.expect("len"), Some(12));
}

/// More frames than a system takes in one call, some of them empty.
async fn frames_follow_one_another(store: Arc<dyn ChunkStore>) {
    let frames: Vec<Bytes> =
        (0..5000_u32).map(|i| Bytes::from(i.to_string().repeat(len(u64::from(i % 4))))).collect();
    let whole = frames.concat();
    let id = upload_of(&*store, whole.len() as u64 + 7).await;
    store.write(id, 7, frames).await.expect("write");
    assert_eq!(read(&*store, id, 0, 7).await, [0; 7]);
    assert_eq!(read(&*store, id, 7, whole.len() as u64).await, whole);
}

async fn writers_of_different_ranges_do_not_meet(store: Arc<dyn ChunkStore>) {
    const LEN: u64 = 10_007;
    let ids = [upload_of(&*store, 16 * LEN).await, upload_of(&*store, 16 * LEN).await];
    let mut writers = tokio::task::JoinSet::new();
    for (id, piece) in (0..16_u8).flat_map(|piece| ids.map(|id| (id, piece))) {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let halves = [LEN / 2, LEN - LEN / 2].map(|half| Bytes::from(vec![piece; len(half)]));
            store.write(id, u64::from(piece) * LEN, halves.to_vec()).await.expect("write");
            assert_all_synced(&store.sync(&[id]).await);
        });
    }
    writers.join_all().await;
    for (id, piece) in (0..16_u8).flat_map(|piece| ids.map(|id| (id, piece))) {
        assert_eq!(read(&*store, id, u64::from(piece) * LEN, LEN).await, vec![piece; len(LEN)]);
    }
}

async fn nothing_is_written_past_the_end(store: Arc<dyn ChunkStore>) {
    let id = upload_of(&*store, 4).await;
    write(&*store, id, 0, b"abcd").await;
    for offset in [1, 4, 5, i64::MAX as u64, u64::MAX] {
        let frames = vec![Bytes::from_static(b"zz"), Bytes::from_static(b"zz")];
        let error = store.write(id, offset, frames).await.expect_err("past the end");
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    }
    assert_eq!(store.len(id).await.expect("len"), Some(4));
    assert_eq!(read(&*store, id, 0, 4).await, b"abcd");
}

async fn a_read_is_exact(store: Arc<dyn ChunkStore>) {
    let max = limits::READ_LEN_MAX as u64;
    let (id, name) = (upload_of(&*store, max + 1).await, name("long.bin"));
    write(&*store, id, max - 2, b"xyz").await;
    assert_eq!(read(&*store, id, max - 2, 3).await, b"xyz");
    assert_eq!(read(&*store, id, max - 1, 1).await, b"y");
    assert_eq!(read(&*store, id, 1, max).await.len(), limits::READ_LEN_MAX);
    assert_eq!(read(&*store, id, 5, 0).await, b"");
    for short in [range(max, 2), range(max + 1, 1), range(i64::MAX as u64 - 1, 1)] {
        assert_not_found(store.read(id, short).await, "an upload is shorter");
    }
    store.publish(id, &name).await.expect("publish");
    assert_eq!(read_published(&*store, &name, max - 2, 3).await, b"xyz");
    for short in [range(max, 2), range(max + 1, 1)] {
        assert_not_found(store.read_published(&name, short).await, "a file is shorter");
    }
}

async fn a_sync_answers_for_each_upload(store: Arc<dyn ChunkStore>) {
    assert!(store.sync(&[]).await.is_empty());
    let (one, other) = (upload_of(&*store, 1).await, upload_of(&*store, 1).await);
    write(&*store, other, 0, b"x").await;
    let results = store.sync(&[UploadId::new(), one, UploadId::new(), other, one]).await;
    let found: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(found, [false, true, false, true, true]);
    for result in results.into_iter().filter(Result::is_err) {
        assert_not_found(result, "an upload that there never was");
    }
}

async fn syncs_may_overlap(store: Arc<dyn ChunkStore>) {
    let id = upload_of(&*store, 64).await;
    let mut syncs = tokio::task::JoinSet::new();
    for offset in 0..64 {
        let store = Arc::clone(&store);
        syncs.spawn(async move {
            write(&*store, id, offset, b"x").await;
            assert_all_synced(&store.sync(&[id]).await);
        });
    }
    syncs.join_all().await;
    assert_eq!(read(&*store, id, 0, 64).await, [b'x'; 64]);
}

async fn a_published_file_is_whole(store: Arc<dyn ChunkStore>) {
    let (id, name) = (upload_of(&*store, 11).await, name("hello.TXT"));
    assert_eq!(store.published_len(&name).await.expect("len"), None);
    write(&*store, id, 5, b" world").await;
    write(&*store, id, 0, b"hello").await;
    store.publish(id, &name).await.expect("publish");
    assert_eq!(store.published_len(&name).await.expect("len"), Some(11));
    assert_eq!(read_published(&*store, &name, 0, 11).await, b"hello world");
    assert_eq!(read_published(&*store, &name, 4, 3).await, b"o w");
    assert_eq!(store.len(id).await.expect("len"), None);
    assert_not_found(store.read(id, range(0, 1)).await, "it is published");
    assert_not_found(store.write(id, 0, vec![Bytes::from_static(b"J")]).await, "it is published");
    store.discard(id).await.expect("discard what is published");
    assert_eq!(read_published(&*store, &name, 0, 11).await, b"hello world");
}

async fn publishing_may_be_repeated(store: Arc<dyn ChunkStore>) {
    let (id, name) = (upload_of(&*store, 3).await, name("a.png"));
    write(&*store, id, 0, b"abc").await;
    for _ in 0..3 {
        store.publish(id, &name).await.expect("publish");
        assert_eq!(read_published(&*store, &name, 0, 3).await, b"abc");
        assert_eq!(store.published().await.expect("published"), slice::from_ref(&name));
    }
}

async fn publishing_never_replaces(store: Arc<dyn ChunkStore>) {
    let (first, second) = (upload_of(&*store, 3).await, upload_of(&*store, 3).await);
    let name = name("a.png");
    write(&*store, first, 0, b"one").await;
    write(&*store, second, 0, b"two").await;
    store.publish(first, &name).await.expect("publish");
    for _ in 0..2 {
        match store.publish(second, &name).await {
            Err(StoreError::Exists { name: taken }) => assert_eq!(taken, name),
            other => panic!("{other:?} for a name that is taken"),
        }
        assert_eq!(read_published(&*store, &name, 0, 3).await, b"one");
        assert_eq!(read(&*store, second, 0, 3).await, b"two");
    }
}

async fn discarding_may_be_repeated(store: Arc<dyn ChunkStore>) {
    let (id, other) = (upload_of(&*store, 3).await, upload_of(&*store, 3).await);
    write(&*store, id, 0, b"abc").await;
    write(&*store, other, 0, b"xyz").await;
    for _ in 0..2 {
        store.discard(id).await.expect("discard");
        assert_eq!(store.len(id).await.expect("len"), None);
        assert_not_found(store.read(id, range(0, 1)).await, "it is discarded");
    }
    assert_eq!(read(&*store, other, 0, 3).await, b"xyz");
}

async fn unpublishing_may_be_repeated(store: Arc<dyn ChunkStore>) {
    let (id, name) = (upload_of(&*store, 3).await, name("a.png"));
    store.publish(id, &name).await.expect("publish");
    let next = upload_of(&*store, 3).await;
    for _ in 0..2 {
        store.unpublish(&name).await.expect("unpublish");
        assert_eq!(store.published_len(&name).await.expect("len"), None);
        assert_not_found(store.read_published(&name, range(0, 1)).await, "it is unpublished");
    }
    assert_not_found(store.publish(id, &name).await, "neither upload nor file is there");
    write(&*store, next, 0, b"new").await;
    store.publish(next, &name).await.expect("the name is free again");
    assert_eq!(read_published(&*store, &name, 0, 3).await, b"new");
}

async fn what_is_not_there_is_not_found(store: Arc<dyn ChunkStore>) {
    let (id, name) = (UploadId::new(), name("a.png"));
    let frames = vec![Bytes::from_static(b"x")];
    assert_not_found(store.write(id, 0, frames).await, "write");
    assert_not_found(store.read(id, range(0, 1)).await, "read");
    assert_not_found(store.publish(id, &name).await, "publish");
    assert_not_found(store.read_published(&name, range(0, 1)).await, "read a file");
    assert_eq!(store.len(id).await.expect("len"), None, "a write must not make an upload");
    assert_eq!(store.published_len(&name).await.expect("len"), None);
}

async fn lists_tell_uploads_from_files(store: Arc<dyn ChunkStore>) {
    assert_eq!(store.uploads().await.expect("uploads"), []);
    assert_eq!(store.published().await.expect("published"), []);
    let mut uploads = HashSet::new();
    let mut published = HashSet::new();
    for text in ["a.jpeg", "../../etc/passwd", "b.tar.gz", "no extension", "Ünï.ＰＮＧ"] {
        let (id, name) = (upload_of(&*store, 1).await, name(text));
        store.publish(id, &name).await.expect("publish");
        published.insert(name);
        uploads.insert(upload_of(&*store, 1).await);
    }
    let listed = store.uploads().await.expect("uploads");
    assert_eq!(listed.len(), uploads.len());
    assert_eq!(HashSet::from_iter(listed), uploads);
    let listed = store.published().await.expect("published");
    assert_eq!(listed.len(), published.len());
    assert_eq!(HashSet::from_iter(listed), published);
}

async fn a_store_is_marked_and_marked_again(store: Arc<dyn ChunkStore>) {
    let marks = async || {
        let mut marks = store.marks().await.expect("marks");
        marks.dedup();
        marks
    };
    assert!(marks().await.iter().all(Option::is_none));
    for generation in 1..4 {
        let mark = Mark { deployment: DeploymentId::new(), generation };
        store.set_mark(mark).await.expect("marked");
        assert_eq!(marks().await, [Some(mark)]);
    }
    assert_eq!(store.uploads().await.expect("uploads"), [], "a mark is no upload");
    assert_eq!(store.published().await.expect("published"), [], "a mark is no file");
}

async fn a_store_knows_its_room_and_that_it_can_be_written_to(store: Arc<dyn ChunkStore>) {
    store.check_writable().await.expect("check");
    store.check_writable().await.expect("check again");
    let space = store.space().await.expect("space");
    assert!(0 < space.free && space.free <= space.total, "{space:?}");
    assert_eq!(store.uploads().await.expect("uploads"), [], "a probe is no upload");
    assert_eq!(store.published().await.expect("published"), [], "a probe is no file");
}

async fn what_is_set_aside_stays_as_it_was_and_comes_back(store: Arc<dyn ChunkStore>) {
    let (id, name) = (upload_of(&*store, 3).await, name("a.png"));
    write(&*store, id, 0, b"abc").await;
    let done = upload_of(&*store, 3).await;
    write(&*store, done, 0, b"xyz").await;
    store.publish(done, &name).await.expect("publish");
    let part = trashed(1, Origin::Incomplete(id));
    let file = trashed(2, Origin::Completed(name.clone()));
    // The later one first: the list is by time.
    assert!(store.set_aside(&file, "a file".into()).await.expect("set aside"));
    assert!(store.set_aside(&part, "a part".into()).await.expect("set aside"));
    assert_eq!(store.len(id).await.expect("len"), None);
    assert_eq!(store.published_len(&name).await.expect("len"), None);
    assert_eq!(store.uploads().await.expect("uploads"), []);
    assert_eq!(store.published().await.expect("published"), []);

    let listed = store.trash().await.expect("list");
    let keys: Vec<_> = listed.iter().map(|it| (it.key.clone(), it.len)).collect();
    assert_eq!(keys, [(part.clone(), Some(3)), (file.clone(), Some(3))]);
    for (key, note, bytes) in [(&part, "a part", "bc"), (&file, "a file", "yz")] {
        assert_eq!(store.read_note(key).await.expect("read"), note);
        assert_eq!(store.read_trashed(key, range(1, 2)).await.expect("read"), bytes);
        assert_not_found(store.read_trashed(key, range(2, 2)).await, "it is shorter");
        for _ in 0..2 {
            store.bring_back(key).await.expect("bring back");
        }
        assert_not_found(store.read_trashed(key, range(0, 1)).await, "it is back");
    }
    assert_eq!(read(&*store, id, 0, 3).await, b"abc");
    assert_eq!(read_published(&*store, &name, 0, 3).await, b"xyz");
    // The notes stay until they are emptied, too.
    let listed = store.trash().await.expect("list");
    assert!(listed.iter().all(|it| it.len.is_none()) && listed.len() == 2, "{listed:?}");
    for key in [part, file] {
        store.empty(&key).await.expect("empty");
    }
    assert_eq!(store.trash().await.expect("list"), []);
    assert_eq!(read(&*store, id, 0, 3).await, b"abc");
}

async fn setting_aside_may_be_repeated(store: Arc<dyn ChunkStore>) {
    let id = upload_of(&*store, 3).await;
    let keys = [1, 2].map(|ms| trashed(ms, Origin::Incomplete(id)));
    assert!(store.set_aside(&keys[0], Bytes::new()).await.expect("set aside"));
    assert!(!store.set_aside(&keys[1], Bytes::new()).await.expect("it is not there any more"));
    assert_eq!(store.trash().await.expect("list").len(), 1);
    // What comes under the same name later is another file.
    store.create(id, 5).await.expect("create");
    assert!(store.set_aside(&keys[1], Bytes::new()).await.expect("set aside"));
    let lens: Vec<_> = store.trash().await.expect("list").iter().map(|it| it.len).collect();
    assert_eq!(lens, [Some(3), Some(5)]);
}

async fn nothing_is_brought_back_over_a_file(store: Arc<dyn ChunkStore>) {
    let id = upload_of(&*store, 3).await;
    write(&*store, id, 0, b"old").await;
    let key = trashed(1, Origin::Incomplete(id));
    store.set_aside(&key, Bytes::new()).await.expect("set aside");
    store.create(id, 3).await.expect("create");
    write(&*store, id, 0, b"new").await;
    assert!(store.bring_back(&key).await.is_err(), "the name is taken");
    assert_eq!(read(&*store, id, 0, 3).await, b"new");
    assert_eq!(store.read_trashed(&key, range(0, 3)).await.expect("read"), "old");
}

async fn emptying_may_be_repeated(store: Arc<dyn ChunkStore>) {
    let id = upload_of(&*store, 3).await;
    let key = trashed(1, Origin::Incomplete(id));
    store.set_aside(&key, "note".into()).await.expect("set aside");
    for _ in 0..2 {
        store.empty(&key).await.expect("empty");
        assert_eq!(store.trash().await.expect("list"), []);
        assert_not_found(store.read_note(&key).await, "it is gone");
        assert_not_found(store.bring_back(&key).await, "it is gone");
    }
}

fn trashed(ms: i64, origin: Origin) -> TrashKey {
    let time = Timestamp::from_millisecond(1_796_000_000_000 + ms).expect("a time");
    TrashKey { id: TrashId::at(time), origin }
}

fn name(filename: &str) -> PublishedName {
    PublishedName::new(CreativeId::new(), &FileName::new(filename).expect("a short name"))
}

fn range(offset: u64, len: u64) -> ByteRange {
    ByteRange::new(offset, len).expect("inside the largest file")
}

fn len(len: u64) -> usize {
    usize::try_from(len).expect("small")
}

async fn upload_of(store: &dyn ChunkStore, total: u64) -> UploadId {
    let id = UploadId::new();
    store.create(id, total).await.expect("create");
    id
}

async fn write(store: &dyn ChunkStore, id: UploadId, offset: u64, bytes: &[u8]) {
    store.write(id, offset, vec![Bytes::copy_from_slice(bytes)]).await.expect("write");
}

async fn read(store: &dyn ChunkStore, id: UploadId, offset: u64, len: u64) -> Vec<u8> {
    store.read(id, range(offset, len)).await.expect("read").into()
}

async fn read_published(
    store: &dyn ChunkStore,
    name: &PublishedName,
    offset: u64,
    len: u64,
) -> Vec<u8> {
    store.read_published(name, range(offset, len)).await.expect("read a finished file").into()
}

#[track_caller]
fn assert_all_synced(results: &[Result<(), StoreError>]) {
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "an answer is judged and done with")]
fn assert_not_found<T: fmt::Debug>(result: Result<T, StoreError>, why: &str) {
    assert!(matches!(result, Err(StoreError::NotFound { .. })), "{result:?}, but {why}");
}
