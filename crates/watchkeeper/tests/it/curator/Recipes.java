// Each recipe of Curator with several clients against one server: `Recipes ADDRESS NAME` ends with
// "ok NAME" on standard output, or with the stack of what went wrong and status 1.
// No sleeps: facts are waited for with a deadline that only a broken server reaches.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.data.Stat;

public class Recipes {
    static final long LONG = 30_000;
    static String address;
    static final List<AutoCloseable> open = new ArrayList<>();
    static final ExecutorService threads = Executors.newCachedThreadPool(r -> {
        Thread thread = new Thread(r);
        thread.setDaemon(true);
        return thread;
    });

    public static void main(String[] args) throws Exception {
        address = args[0];
        try {
            Recipes.class.getDeclaredMethod(args[1]).invoke(null);
            for (int i = open.size(); i-- > 0;) open.get(i).close();
            System.out.println("ok " + args[1]);
            System.exit(0);
        } catch (Throwable wrong) {
            wrong.printStackTrace();
            System.exit(1);
        }
    }

    static CuratorFramework client() throws Exception {
        CuratorFramework c = CuratorFrameworkFactory.newClient(
            address, 15_000, 15_000, new ExponentialBackoffRetry(50, 5));
        c.start();
        check(c.blockUntilConnected(30, TimeUnit.SECONDS), "connected");
        return keep(c);
    }

    static <T extends AutoCloseable> T keep(T thing) {
        open.add(thing);
        return thing;
    }

    static void check(boolean fact, String what) {
        if (!fact) throw new AssertionError("not so: " + what);
    }

    static void until(String what, Callable<Boolean> fact) throws Exception {
        long end = System.currentTimeMillis() + LONG;
        while (!fact.call()) {
            check(System.currentTimeMillis() < end, what);
            Thread.sleep(10);
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void next(BlockingQueue<String> events, String want) throws Exception {
        String event = events.poll(LONG, TimeUnit.MILLISECONDS);
        check(want.equals(event), want + ", not " + event);
    }

    static void mutex() throws Exception {
        InterProcessMutex one = new InterProcessMutex(client(), "/lock");
        InterProcessMutex two = new InterProcessMutex(client(), "/lock");
        one.acquire();
        check(one.acquire(1, TimeUnit.SECONDS), "the holder enters again");
        check(!two.acquire(200, TimeUnit.MILLISECONDS), "the other waits in vain");
        Future<Boolean> waiting = threads.submit(() -> two.acquire(30, TimeUnit.SECONDS));
        until("two in line", () -> one.getParticipantNodes().size() == 2);
        one.release();
        check(!waiting.isDone(), "held once more");
        one.release();
        check(waiting.get(), "the waiter gets it");
        // Many threads of many clients, one at a time.
        AtomicInteger inside = new AtomicInteger(), entered = new AtomicInteger();
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            InterProcessMutex mine = new InterProcessMutex(client(), "/busy");
            all.add(threads.submit(() -> {
                for (int n = 0; n < 10; n++) {
                    mine.acquire();
                    check(inside.incrementAndGet() == 1, "alone inside");
                    entered.incrementAndGet();
                    inside.decrementAndGet();
                    mine.release();
                }
                return null;
            }));
        }
        for (Future<?> one_of : all) one_of.get();
        check(entered.get() == 30, "all entered");
    }

    static void readWriteLock() throws Exception {
        InterProcessReadWriteLock one = new InterProcessReadWriteLock(client(), "/rw");
        InterProcessReadWriteLock two = new InterProcessReadWriteLock(client(), "/rw");
        one.readLock().acquire();
        check(two.readLock().acquire(30, TimeUnit.SECONDS), "readers share");
        two.readLock().release();
        check(!two.writeLock().acquire(200, TimeUnit.MILLISECONDS), "a writer waits for readers");
        one.readLock().release();
        check(two.writeLock().acquire(30, TimeUnit.SECONDS), "a writer enters");
        check(!one.readLock().acquire(200, TimeUnit.MILLISECONDS), "a reader waits for the writer");
        two.writeLock().release();
        check(one.readLock().acquire(30, TimeUnit.SECONDS), "a reader enters");
        one.readLock().release();
    }

    static void multiLock() throws Exception {
        CuratorFramework c = client(), d = client();
        InterProcessMultiLock both = new InterProcessMultiLock(c, List.of("/ml/a", "/ml/b"));
        InterProcessMutex b = new InterProcessMutex(d, "/ml/b");
        b.acquire();
        check(!both.acquire(300, TimeUnit.MILLISECONDS), "one of two is held");
        b.release();
        check(both.acquire(30, TimeUnit.SECONDS), "both are free");
        both.release();
    }

    static void semaphore() throws Exception {
        InterProcessSemaphoreV2 one = new InterProcessSemaphoreV2(client(), "/sem", 2);
        InterProcessSemaphoreV2 two = new InterProcessSemaphoreV2(client(), "/sem", 2);
        Lease first = one.acquire(30, TimeUnit.SECONDS), second = two.acquire(30, TimeUnit.SECONDS);
        check(first != null && second != null, "two leases");
        check(two.acquire(200, TimeUnit.MILLISECONDS) == null, "no third");
        one.returnLease(first);
        Lease third = two.acquire(30, TimeUnit.SECONDS);
        check(third != null, "a third after one came back");
        two.returnLease(second);
        two.returnLease(third);
    }

    static void leaderLatch() throws Exception {
        LeaderLatch one = new LeaderLatch(client(), "/latch", "one");
        one.start();
        check(one.await(30, TimeUnit.SECONDS), "the first leads");
        LeaderLatch two = new LeaderLatch(client(), "/latch", "two");
        two.start();
        until("two participants", () -> one.getParticipants().size() == 2);
        check(!two.hasLeadership() && one.getLeader().getId().equals("one"), "one leads");
        one.close();
        check(two.await(30, TimeUnit.SECONDS), "the second takes over");
        // The leader's session expires: it loses the lead and gets it back with a new session.
        CuratorFramework c = client();
        LeaderLatch three = new LeaderLatch(c, "/latch2", "three");
        three.start();
        check(three.await(30, TimeUnit.SECONDS), "three leads");
        long before = c.getZookeeperClient().getZooKeeper().getSessionId();
        c.getZookeeperClient().getZooKeeper().getTestable().injectSessionExpiration();
        until("a new session", () -> c.getZookeeperClient().isConnected()
            && c.getZookeeperClient().getZooKeeper().getSessionId() != before);
        until("leads again", three::hasLeadership);
        two.close();
        three.close();
    }

    static void leaderSelector() throws Exception {
        BlockingQueue<String> led = new LinkedBlockingQueue<>();
        for (String id : List.of("one", "two")) {
            LeaderSelector s = new LeaderSelector(client(), "/sel",
                new LeaderSelectorListenerAdapter() {
                    @Override public void takeLeadership(CuratorFramework c) {
                        led.add(id);
                    }
                });
            keep(s::close);
            s.autoRequeue();
            s.start();
        }
        Set<String> seen = new HashSet<>();
        while (seen.size() < 2) {
            String id = led.poll(LONG, TimeUnit.MILLISECONDS);
            check(id != null, "somebody leads");
            seen.add(id);
        }
    }

    static void barrier() throws Exception {
        DistributedBarrier one = new DistributedBarrier(client(), "/barrier");
        DistributedBarrier two = new DistributedBarrier(client(), "/barrier");
        one.setBarrier();
        check(!two.waitOnBarrier(200, TimeUnit.MILLISECONDS), "closed");
        Future<Boolean> waiting = threads.submit(() -> two.waitOnBarrier(30, TimeUnit.SECONDS));
        one.removeBarrier();
        check(waiting.get(), "opened");
    }

    static void doubleBarrier() throws Exception {
        int members = 3;
        AtomicInteger inside = new AtomicInteger(), left = new AtomicInteger();
        List<Future<Boolean>> all = new ArrayList<>();
        for (int i = 0; i < members; i++) {
            DistributedDoubleBarrier b = new DistributedDoubleBarrier(client(), "/double", members);
            all.add(threads.submit(() -> {
                inside.incrementAndGet();
                boolean entered = b.enter(30, TimeUnit.SECONDS) && inside.get() == members;
                left.incrementAndGet();
                return entered & b.leave(30, TimeUnit.SECONDS) && left.get() == members;
            }));
        }
        for (Future<Boolean> member : all) check(member.get(), "all enter and leave together");
    }

    static void queue() throws Exception {
        SimpleDistributedQueue simple = new SimpleDistributedQueue(client(), "/simple");
        for (int i = 0; i < 20; i++) simple.offer(bytes("n" + i));
        SimpleDistributedQueue other = new SimpleDistributedQueue(client(), "/simple");
        for (int i = 0; i < 20; i++) {
            String text = new String(other.take(), StandardCharsets.UTF_8);
            check(text.equals("n" + i), "in order, not " + text + " at " + i);
        }
        check(other.poll(100, TimeUnit.MILLISECONDS) == null, "empty");
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        QueueSerializer<String> text = new QueueSerializer<>() {
            @Override public byte[] serialize(String item) {
                return bytes(item);
            }
            @Override public String deserialize(byte[] data) {
                return new String(data, StandardCharsets.UTF_8);
            }
        };
        QueueConsumer<String> consumer = new QueueConsumer<>() {
            @Override public void consumeMessage(String message) {
                got.add(message);
            }
            @Override public void stateChanged(CuratorFramework c, ConnectionState state) { }
        };
        DistributedQueue<String> q =
            keep(QueueBuilder.builder(client(), consumer, text, "/queue").lockPath("/ql").buildQueue());
        q.start();
        for (int i = 0; i < 20; i++) q.put("m" + i);
        for (int i = 0; i < 20; i++) {
            String message = got.poll(LONG, TimeUnit.MILLISECONDS);
            check(("m" + i).equals(message), "in order, not " + message + " at " + i);
        }
    }

    static void counters() throws Exception {
        int clients = 3, times = 20;
        CyclicBarrier together = new CyclicBarrier(clients);
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            DistributedAtomicLong value = new DistributedAtomicLong(
                client(), "/long", new ExponentialBackoffRetry(5, 100));
            all.add(threads.submit(() -> {
                together.await();
                for (int n = 0; n < times; n++) check(value.increment().succeeded(), "increment");
                return null;
            }));
        }
        for (Future<?> one : all) one.get();
        long sum = new DistributedAtomicLong(client(), "/long", new ExponentialBackoffRetry(5, 10))
            .get().postValue();
        check(sum == clients * times, "the sum is " + sum);
        SharedCount one = keep(new SharedCount(client(), "/shared", 7));
        SharedCount two = keep(new SharedCount(client(), "/shared", 7));
        one.start();
        two.start();
        one.setCount(42);
        until("the other sees the count", () -> two.getCount() == 42);
        check(!one.trySetCount(two.getVersionedValue(), 43) || one.getCount() == 43, "versioned");
    }

    static void caches() throws Exception {
        CuratorFramework c = client(), writer = client();
        writer.create().creatingParentsIfNeeded().forPath("/cache/old/deep", bytes("x"));
        CuratorCache cache = keep(CuratorCache.build(c, "/cache"));
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        cache.listenable().addListener(CuratorCacheListener.builder()
            .forCreates(n -> events.add("created " + n.getPath()))
            .forChanges((before, after) -> events.add("changed " + after.getPath()))
            .forDeletes(n -> events.add("deleted " + n.getPath()))
            .forInitialized(() -> events.add("initialized")).build());
        cache.start();
        Set<String> first = new HashSet<>();
        for (String e = ""; !e.equals("initialized");) {
            e = events.poll(LONG, TimeUnit.MILLISECONDS);
            first.add(String.valueOf(e));
        }
        check(first.contains("created /cache/old/deep"), "what was there: " + first);
        // A cache reads after each event: it may skip what was overwritten before it read.
        writer.create().forPath("/cache/new", bytes("1"));
        next(events, "created /cache/new");
        writer.setData().forPath("/cache/new", bytes("2"));
        next(events, "changed /cache/new");
        writer.delete().forPath("/cache/new");
        next(events, "deleted /cache/new");
        TreeCache tree = keep(new TreeCache(c, "/cache"));
        tree.start();
        NodeCache node = keep(new NodeCache(c, "/cache/old"));
        node.start(true);
        PathChildrenCache children = keep(new PathChildrenCache(c, "/cache", true));
        children.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        for (int i = 0; i < 10; i++) {
            writer.create().forPath("/cache/n" + i, bytes("v" + i));
            writer.setData().forPath("/cache/old", bytes("v" + i));
        }
        until("the tree cache", () -> {
            ChildData d = tree.getCurrentData("/cache/n9");
            return d != null && new String(d.getData()).equals("v9");
        });
        until("the node cache", () -> new String(node.getCurrentData().getData()).equals("v9"));
        until("the children cache", () -> children.getCurrentData().size() == 11);
    }

    static void persistentWatcher() throws Exception {
        CuratorFramework c = client(), writer = client();
        BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        PersistentWatcher w = keep(new PersistentWatcher(c, "/pw", true));
        CountDownLatch reset = new CountDownLatch(1);
        w.getResetListenable().addListener(reset::countDown);
        w.getListenable().addListener(events::add);
        w.start();
        check(reset.await(30, TimeUnit.SECONDS), "armed");
        writer.create().forPath("/pw", bytes(""));
        writer.create().forPath("/pw/a", bytes(""));
        writer.setData().forPath("/pw/a", bytes("1"));
        writer.delete().forPath("/pw/a");
        for (String want : List.of("NodeCreated /pw", "NodeCreated /pw/a", "NodeDataChanged /pw/a",
                "NodeDeleted /pw/a")) {
            WatchedEvent e = events.poll(LONG, TimeUnit.MILLISECONDS);
            check(e != null && want.equals(e.getType() + " " + e.getPath()), want + ", not " + e);
        }
    }

    static void groupMember() throws Exception {
        GroupMember one = keep(new GroupMember(client(), "/group", "one", bytes("1")));
        GroupMember two = new GroupMember(client(), "/group", "two", bytes("2"));
        one.start();
        two.start();
        until("both are members", () -> one.getCurrentMembers().keySet().equals(Set.of("one", "two")));
        two.close();
        until("one is left", () -> one.getCurrentMembers().keySet().equals(Set.of("one")));
    }

    static void serviceDiscovery() throws Exception {
        ServiceInstance<String> web = ServiceInstance.<String>builder().name("web")
            .address("10.0.0.1").port(80).payload("first").build();
        ServiceDiscovery<String> server = keep(ServiceDiscoveryBuilder.builder(String.class)
            .client(client()).basePath("/services").thisInstance(web).build());
        server.start();
        ServiceDiscovery<String> reader = keep(ServiceDiscoveryBuilder.builder(String.class)
            .client(client()).basePath("/services").build());
        reader.start();
        check(reader.queryForNames().contains("web"), "the name");
        check(reader.queryForInstances("web").iterator().next().getPayload().equals("first"), "it");
        ServiceProvider<String> provider =
            keep(reader.serviceProviderBuilder().serviceName("web").build());
        provider.start();
        until("provided", () -> provider.getInstance() != null);
        ServiceInstance<String> more = ServiceInstance.<String>builder().name("web")
            .address("10.0.0.2").port(80).payload("second").build();
        server.registerService(more);
        until("two", () -> provider.getAllInstances().size() == 2);
        server.unregisterService(more);
        server.unregisterService(web);
        until("none", () -> provider.getAllInstances().isEmpty());
    }

    static void transactions() throws Exception {
        CuratorFramework c = client();
        List<CuratorTransactionResult> results = c.transaction().forOperations(
            c.transactionOp().create().forPath("/t", bytes("1")),
            c.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/t/s-"),
            c.transactionOp().setData().withVersion(0).forPath("/t", bytes("2")),
            c.transactionOp().check().withVersion(1).forPath("/t"));
        check(results.get(1).getResultPath().equals("/t/s-0000000000"), "the path");
        check(results.get(2).getResultStat().getVersion() == 1, "the version");
        try {
            c.transaction().forOperations(c.transactionOp().create().forPath("/t/x"),
                c.transactionOp().delete().forPath("/missing"));
            check(false, "it fails");
        } catch (KeeperException.NoNodeException expected) {
            check(c.checkExists().forPath("/t/x") == null, "nothing of it is there");
        }
    }

    /** Needs extendedTypesEnabled=true and a server that looks for containers often. */
    static void ttlAndContainers() throws Exception {
        CuratorFramework c = client();
        c.create().withTtl(300).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/ttl");
        c.create().withTtl(3_600_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/stays");
        c.create().withMode(CreateMode.CONTAINER).forPath("/box");
        c.create().creatingParentContainersIfNeeded().forPath("/boxes/inner/kid");
        c.create().forPath("/box/kid");
        c.delete().forPath("/box/kid");
        c.delete().forPath("/boxes/inner/kid");
        until("the TTL ran out", () -> c.checkExists().forPath("/ttl") == null);
        until("the empty container went", () -> c.checkExists().forPath("/box") == null);
        until("and those around", () -> c.checkExists().forPath("/boxes") == null);
        check(c.checkExists().forPath("/stays") != null, "the other TTL runs on");
    }

    static void persistentNodes() throws Exception {
        CuratorFramework c = client(), other = client();
        PersistentNode n = keep(new PersistentNode(c, CreateMode.EPHEMERAL, false, "/pn", bytes("x")));
        n.start();
        check(n.waitForInitialCreate(30, TimeUnit.SECONDS), "created");
        other.delete().forPath("/pn");
        until("made again", () -> other.checkExists().forPath("/pn") != null);
        // Another client for the lost session: a recipe that is still busy with the deletion above
        // may miss the end of its session, whichever server it speaks with.
        CuratorFramework d = client();
        PersistentNode m = keep(new PersistentNode(d, CreateMode.EPHEMERAL, false, "/pm", bytes("x")));
        m.start();
        check(m.waitForInitialCreate(30, TimeUnit.SECONDS), "created");
        long before = d.getZookeeperClient().getZooKeeper().getSessionId();
        d.getZookeeperClient().getZooKeeper().getTestable().injectSessionExpiration();
        until("made again by a new session", () -> {
            Stat stat = other.checkExists().forPath("/pm");
            return stat != null && stat.getEphemeralOwner() != before;
        });
        PersistentTtlNode t = keep(new PersistentTtlNode(c, "/ptn", 60_000, bytes("y")));
        t.start();
        check(t.waitForInitialCreate(30, TimeUnit.SECONDS), "created with a TTL");
    }

    static void accessLists() throws Exception {
        CuratorFramework mine = CuratorFrameworkFactory.builder().connectString(address)
            .retryPolicy(new ExponentialBackoffRetry(50, 5)).authorization("digest", bytes("me:pw"))
            .build();
        keep(mine).start();
        check(mine.blockUntilConnected(30, TimeUnit.SECONDS), "connected");
        mine.create().withACL(org.apache.zookeeper.ZooDefs.Ids.CREATOR_ALL_ACL)
            .forPath("/mine", bytes("secret"));
        try {
            client().getData().forPath("/mine");
            check(false, "a stranger reads");
        } catch (KeeperException.NoAuthException expected) {
            check(new String(mine.getData().forPath("/mine")).equals("secret"), "the owner reads");
        }
        check(mine.getACL().forPath("/mine").get(0).getId().getScheme().equals("digest"), "digest");
    }
}
